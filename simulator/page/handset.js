// One phone on the page: what its screen shows, what its keys do. The session itself lives in the simulator.

import { act, inbox, keep, recall, text } from './api.js';
import { Keypad, drawKeys } from './keypad.js';
import { Inbox } from './inbox.js';
import { showWire } from './wire.js';

const touch = matchMedia('(pointer: coarse)'); // where the focus would call up the keyboard over the phone

export class Handset {
  constructor(person, { code, patience, tone, onRemove }) {
    this.msisdn = person.msisdn;
    this.code = code;
    this.patience = patience;
    this.onRemove = onRemove;
    this.state = { rev: -1, session: '', open: false, waiting: false, screen: '', error: '', raw: [] };
    this.over = null; // the ended session that was put away with OK; null before the first state came
    this.place = 'home'; // home (dialling, or the session), inbox, message
    this.root = document.getElementById('handset').content.firstElementChild.cloneNode(true);
    this.root.classList.add('tone-' + tone);
    this.root.dataset.msisdn = this.msisdn;
    this.$ = (selector) => this.root.querySelector(selector);
    this.line = this.$('.entry input');
    this.keypad = new Keypad(this.line);
    this.messages = new Inbox(this);
    drawKeys(this.$('.keys'));
    this.introduce(person);
    this.listen();
    this.render();
  }

  introduce(person) {
    const name = person.name || this.msisdn;
    this.root.setAttribute('aria-label', `Phone of ${name}`);
    this.$('.side h2').textContent = person.name || 'Somebody';
    this.$('.number').textContent = this.msisdn;
    this.$('.note').textContent = person.note || '';
    this.$('.pin').textContent = person.pin ? 'PIN ' + person.pin : '';
    this.$('.owner').textContent = name;
    this.$('.quick').textContent = 'Dial ' + this.code;
    this.$('.tip').textContent = `Dial ${this.code} and press the green key`;
    this.$('.view').setAttribute('aria-label', `Screen of ${name}`);
    this.$('[data-do=remove]').setAttribute('aria-label', `Switch off the phone of ${name}`);
    // The last choice loses the answer, not the request: the application has done its part and the phone never learns.
    const late = Math.min(this.patience + 1000, 60000);
    Object.assign(this.$('.delay option[value=late]'), { value: `0,${late}`, textContent: `${late / 1000} s: too late` });
  }

  listen() {
    this.root.addEventListener('click', (e) => {
      const button = e.target.closest('button');
      if (!button) return;
      if (button.dataset.key) this.press(button.dataset.key);
      else if (button.dataset.do) this.do(button.dataset.do);
    });
    // A key of the phone does not take the focus from the line, so the real keyboard goes on writing there.
    this.$('.device').addEventListener('mousedown', (e) => {
      if (e.target.closest('.nav, .keys, .base')) e.preventDefault();
    });
    this.root.addEventListener('keydown', (e) => this.keydown(e));
    this.$('.view').addEventListener('scroll', () => this.more());
    this.line.addEventListener('input', () => this.labels());
    this.$('.delay').addEventListener('change', (e) => {
      const [before_ms, after_ms] = e.target.value.split(',').map(Number);
      this.act('delay', { before_ms, after_ms });
    });
    this.$('.text-form').addEventListener('submit', (e) => {
      e.preventDefault();
      this.text(this.$('.text-form input'));
    });
    this.$('.wire').addEventListener('toggle', () => showWire(this.$('.wire'), this.state.raw));
  }

  // text sends an SMS to the service; the answer is an SMS, too.
  async text(field) {
    const note = this.$('.sent');
    if (!field.value.trim()) return;
    note.textContent = '';
    try {
      await text(this.msisdn, field.value);
      field.value = '';
      note.textContent = 'Sent';
    } catch (err) {
      note.textContent = err.message;
    }
  }

  keydown(e) {
    if (e.ctrlKey || e.altKey || e.metaKey) return;
    const onLcd = this.$('.lcd').contains(e.target);
    if (e.key === 'Escape') this.do('end');
    else if (e.key === 'Enter' && onLcd && e.target.tagName !== 'BUTTON') this.do('call');
    else if ((e.key === 'ArrowDown' || e.key === 'ArrowUp') && onLcd) this.do(e.key === 'ArrowDown' ? 'down' : 'up');
    else if (e.key.length === 1 && onLcd && e.target !== this.line && e.target.tagName !== 'BUTTON') this.press(e.key, true);
    else return;
    e.preventDefault();
  }

  // press writes a character, from the keypad or (plain) from the keyboard while the line was not in sight.
  press(key, plain) {
    if (this.place !== 'home') this.go('home');
    if (this.mode() === 'ended') this.putAway();
    if (this.mode() === 'waiting') return;
    if (plain) this.keypad.write(key);
    else this.keypad.press(key);
    if (plain || !touch.matches) this.line.focus();
  }

  mode() {
    const { state } = this;
    if (state.waiting && state.open) return 'waiting';
    if (state.open) return 'open';
    if ((state.screen || state.error) && this.over !== this.ending()) return 'ended';
    return 'idle';
  }
  ending() { return `${this.state.session} ${this.state.error}`; }
  putAway() { this.over = this.ending(); this.render(); }

  do(action) {
    const mode = this.mode();
    switch (action) {
      case 'left':
        if (this.place === 'inbox') return this.messages.open();
        if (this.place === 'message') return undefined;
        if (mode === 'idle' && !this.line.value) return this.do('messages');
        return this.do('call');
      case 'right':
        if (this.place === 'message') return this.go('inbox');
        if (this.place === 'inbox') return this.go('home');
        if (mode === 'open' || mode === 'waiting') return this.do('end');
        if (mode === 'ended') { this.putAway(); return this.do('messages'); }
        if (!this.line.value) return this.do('quick');
        this.setLine('');
        return undefined;
      case 'call':
        if (this.place === 'inbox') return this.messages.open();
        if (this.place === 'message') return this.go('inbox');
        if (mode === 'open') return this.line.value ? this.send('type', { input: this.line.value }) : undefined;
        if (mode === 'ended') return this.putAway();
        if (mode === 'idle' && this.line.value) return this.dial(this.line.value);
        if (mode === 'idle' && recall('dialled')) this.setLine(recall('dialled'));
        return undefined;
      case 'end':
        this.hush();
        if (this.state.open) this.act('drop');
        this.setLine('');
        if (mode === 'ended') this.putAway();
        return this.go('home');
      case 'quick': this.go('home'); return this.dial(this.code);
      case 'drop': return this.act('drop');
      case 'retry': return this.act('retry');
      case 'clear': return this.place === 'home' ? this.keypad.erase() : this.do('right');
      case 'messages': this.hush(); return this.go('inbox');
      case 'newest': this.hush(); return this.messages.newest();
      case 'up': case 'down': return this.scroll(action === 'down' ? 1 : -1);
      case 'abc':
        this.keypad.letters = !this.keypad.letters;
        this.$('.abc').setAttribute('aria-pressed', this.keypad.letters);
        return this.labels();
      case 'remove': return this.onRemove(this);
      default: return this.messages.do(action);
    }
  }

  dial(code) {
    keep('dialled', code);
    this.over = ''; // what this leads to is new, even when it ends as the last one did
    return this.send('dial', { code });
  }
  send(action, body) {
    this.setLine('');
    this.hush();
    return this.act(action, body);
  }
  async act(action, body) {
    try {
      this.take(await act(this.msisdn, action, body));
    } catch (error) {
      this.note(error.message.replace(/^.*can send: |^simulator: /, ''), true);
    }
  }

  // take shows a state unless it has seen a newer one.
  take(state) {
    if (state.rev < this.state.rev) return;
    const first = this.state.rev < 0;
    const pushed = !first && state.open && state.session !== this.state.session && state.raw.at(-1)?.kind === 'push';
    this.state = state;
    if (pushed) { // it comes up over whatever was on the screen
      this.place = 'home';
      this.setLine('');
    }
    if (first && !state.open && this.over === null) this.over = this.ending(); // what ended before the page was opened
    this.render();
  }
  // forget makes room for the state of a simulator that may have been restarted.
  async renew() {
    this.state.rev = Math.min(this.state.rev, 0);
    try { this.messages.fill(await inbox(this.msisdn)); } catch { /* the stream says that it is gone */ }
  }

  go(place) {
    this.place = place;
    this.render();
    if (place === 'inbox') this.messages.focus();
  }
  scroll(step) {
    if (this.place === 'inbox') this.messages.move(step);
    else this.$('.view').scrollBy({ top: step * 51 });
  }
  // more marks a screen that goes on below.
  more() {
    const view = this.$('.view');
    this.$('.lcd').classList.toggle('more', view.scrollTop + view.clientHeight < view.scrollHeight - 4);
  }
  setLine(text) {
    this.line.value = text;
    this.keypad.last = null;
    this.labels();
  }

  render() {
    const mode = this.mode();
    const lcd = this.$('.lcd');
    const held = lcd.contains(document.activeElement);
    const shown = this.place !== 'home' ? this.place : mode === 'idle' ? 'idle' : 'text';
    lcd.className = `lcd show-${shown}`;
    lcd.classList.toggle('show-entry', this.place === 'home' && (mode === 'idle' || mode === 'open'));
    this.root.dataset.mode = mode;
    this.writeScreen(mode);
    if (shown === 'inbox') this.messages.drawList();
    this.messages.badge();
    this.labels();
    this.$('[data-do=drop]').disabled = !this.state.open;
    this.$('[data-do=retry]').disabled = !this.state.session;
    this.$('.tip').hidden = Boolean(recall('dialled'));
    this.showDelay();
    showWire(this.$('.wire'), this.state.raw);
    const view = this.$('.view');
    if (this.screenShown !== this.state.screen + mode) view.scrollTop = 0;
    this.screenShown = this.state.screen + mode;
    this.more();
    // Whoever was on the screen stays there when the line comes or goes.
    const target = lcd.classList.contains('show-entry') ? this.line : view;
    const moved = this.shownLast !== shown + mode;
    this.shownLast = shown + mode;
    if (held && moved && this.place === 'home' && document.activeElement !== target) target.focus({ preventScroll: true });
  }

  writeScreen(mode) {
    const text = this.$('.text');
    const { screen, error } = this.state;
    const wanted = mode === 'idle' ? '' : `${mode === 'waiting'}|${screen}|${error}`;
    if (this.written === wanted) return;
    this.written = wanted;
    const part = (tag, className, content) => Object.assign(document.createElement(tag), { className, textContent: content });
    if (mode === 'idle') text.replaceChildren();
    else if (mode === 'waiting') text.replaceChildren(part('span', 'wait', 'Running…'));
    else if (error) {
      const trouble = part('span', 'trouble', 'Connection problem');
      trouble.append(part('small', '', error));
      text.replaceChildren(trouble);
    } else text.textContent = screen;
  }

  labels() {
    const mode = this.mode();
    const typed = this.line.value !== '';
    let pair = { idle: typed ? ['Call', 'Clear'] : ['Messages', this.code], open: ['Send', 'Cancel'], waiting: ['', 'Cancel'], ended: ['OK', 'Messages'] }[mode];
    if (this.place === 'inbox') pair = ['Open', 'Back'];
    if (this.place === 'message') pair = ['', 'Back'];
    ['left', 'right'].forEach((side, i) => {
      this.$(`.softs .${side}`).textContent = pair[i];
      this.$(`.soft[data-do=${side}] .hidden`).textContent = pair[i] || 'nothing';
    });
    this.$('.softs .mode').textContent = this.keypad.letters ? 'Abc' : '123';
    this.$('.lcd').classList.toggle('dialling', mode === 'idle' && typed);
    this.line.setAttribute('aria-label', mode === 'open' ? 'Your answer' : 'Number to dial');
    this.line.inputMode = mode === 'open' ? 'text' : 'tel';
  }

  showDelay() {
    const select = this.$('.delay');
    const wanted = `${this.state.before_ms || 0},${this.state.after_ms || 0}`;
    if ([...select.options].some((o) => o.value === wanted)) select.value = wanted;
    select.classList.toggle('on', wanted !== '0,0');
  }

  tick(clock, date) {
    this.$('.clock').textContent = clock;
    this.$('.date').textContent = date;
  }

  // note shows a few words over the screen for a while: a message has come, or a mistake.
  note(words, oops) {
    const banner = this.$('.banner');
    banner.textContent = words;
    banner.classList.toggle('oops', Boolean(oops));
    banner.dataset.do = oops ? 'hush' : 'newest';
    banner.hidden = false;
    this.$('.news').textContent = words;
    clearTimeout(this.noteTimer);
    this.noteTimer = setTimeout(() => this.hush(), oops ? 4000 : 7000);
  }
  hush() {
    this.$('.banner').hidden = true;
    this.$('.news').textContent = '';
  }
}
