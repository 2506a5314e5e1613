// The messages of one phone, read on its screen. What was read is remembered over a reload.

import { keep, recall } from './api.js';

const kept = 200; // as many as the simulator keeps

export class Inbox {
  constructor(handset) {
    this.handset = handset;
    this.list = []; // newest first
    this.read = new Set(recall('read.' + handset.msisdn) || []);
  }

  fill(oldestFirst) {
    this.list = oldestFirst.slice().reverse();
    this.redraw();
  }

  arrive(sms) {
    if (this.list.some((m) => m.id === sms.id)) return;
    this.list.unshift(sms);
    this.list.length = Math.min(this.list.length, kept);
    const { root } = this.handset;
    this.handset.note(`✉ Message from ${sms.from}\n${sms.body.slice(0, 22)}${sms.body.length > 22 ? '…' : ''}`);
    root.classList.remove('buzz');
    void root.offsetWidth; // lets the animation start again
    root.classList.add('buzz');
    this.redraw();
  }

  redraw() {
    this.badge();
    if (this.handset.place === 'inbox') this.drawList();
  }

  badge() {
    const unread = this.list.filter((m) => !this.read.has(m.id)).length;
    const mail = this.handset.$('.mail');
    mail.hidden = unread === 0;
    mail.querySelector('b').textContent = unread;
  }

  drawList() {
    const ul = this.handset.$('.inbox');
    const focused = document.activeElement && ul.contains(document.activeElement) ? document.activeElement.dataset.do : '';
    const rows = this.list.map((m) => {
      const li = document.createElement('li');
      const button = document.createElement('button');
      button.type = 'button';
      button.dataset.do = 'read ' + m.id;
      const from = document.createElement('span');
      from.className = 'from';
      const who = document.createElement('b');
      who.textContent = m.from;
      const body = document.createElement('span');
      body.textContent = m.body;
      from.append(who, time(m.at));
      button.append(from, body);
      if (!this.read.has(m.id)) li.className = 'unread';
      li.append(button);
      return li;
    });
    if (rows.length === 0) {
      const li = document.createElement('li');
      li.className = 'empty';
      li.textContent = 'No messages';
      rows.push(li);
    }
    ul.replaceChildren(...rows);
    const same = focused && [...ul.querySelectorAll('button')].find((b) => b.dataset.do === focused);
    if (same) same.focus();
  }

  do(action) {
    if (action.startsWith('read ')) this.show(action.slice(5));
    else if (action === 'hush') this.handset.hush();
  }

  // open reads the message that is marked, or the first.
  open() {
    const ul = this.handset.$('.inbox');
    const marked = ul.contains(document.activeElement) ? document.activeElement : ul.querySelector('button');
    if (marked) this.do(marked.dataset.do);
  }
  newest() {
    if (this.list.length) this.show(this.list[0].id);
  }

  show(id) {
    const m = this.list.find((x) => x.id === id);
    if (!m) return;
    this.read.add(id);
    keep('read.' + this.handset.msisdn, [...this.read].slice(-kept));
    const article = this.handset.$('.message');
    const header = document.createElement('header');
    const from = document.createElement('b');
    from.textContent = m.from;
    const parts = m.segments > 1 ? ` · ${m.segments} parts` : '';
    header.append(from, new Date(m.at).toLocaleString([], { day: 'numeric', month: 'short', hour: '2-digit', minute: '2-digit', hourCycle: 'h23' }) + parts);
    const body = document.createElement('p');
    body.textContent = m.body;
    article.replaceChildren(header, body);
    this.handset.go('message');
    this.handset.$('.view').scrollTop = 0;
    this.handset.$('.view').focus({ preventScroll: true });
  }

  focus() {
    const first = this.handset.$('.inbox button');
    (first || this.handset.$('.view')).focus({ preventScroll: true });
  }
  move(step) {
    const rows = [...this.handset.$('.inbox').querySelectorAll('button')];
    const next = rows[rows.indexOf(document.activeElement) + step];
    if (next) next.focus();
  }
}

function time(at) {
  const e = document.createElement('time');
  e.dateTime = at;
  e.textContent = new Date(at).toLocaleTimeString([], { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' });
  return e;
}
