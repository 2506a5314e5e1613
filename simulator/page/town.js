// The town: many phones as tiles, money that moves between them, and the faults. One stream brings all news.

import * as api from './api.js';

const $ = (id) => document.getElementById(id);
const tiles = new Map(); // by number
const still = matchMedia('(prefers-reduced-motion: reduce)');
const maxFlying = 40; // payments drawn at a time
const lasting = 6000; // ms that the outcome of a payment shows
const manyTiles = 60; // more than these are drawn smaller
const fewTiles = 12; // up to these are drawn larger
const outcomes = { paid: 'has paid or was paid', refused: 'was refused', unknown: 'does not know whether it paid' };
let flying = 0;
let places = null; // middle of each tile, until the layout changes
let current = null; // the tile that Tab goes to

// Tile is one phone.
class Tile {
  constructor(who) {
    this.msisdn = who.msisdn;
    this.li = $('tile').content.firstElementChild.cloneNode(true);
    this.a = this.li.firstElementChild;
    this.$ = (name) => this.li.querySelector('.' + name);
    this.a.href = '/simulator/#' + who.msisdn.slice(1);
    this.a.tabIndex = -1;
    this.a.dataset.msisdn = who.msisdn;
    this.a.dataset.role = who.role || 'customer';
    this.name = who.name || who.msisdn;
    this.role = who.role === 'till' ? `till ${who.till || ''}` : who.role || '';
    const till = who.role === 'till' && who.till;
    this.$('name').textContent = till ? 'Till ' + till : who.name || 'Somebody';
    this.$('role').textContent = who.role === 'merchant' ? 'shop' : '';
    this.$('msisdn').textContent = till ? who.name : who.msisdn.replace(/^\+\d{3}/, '0');
    this.a.title = [this.name, this.role, who.msisdn, who.note].filter(Boolean).join(', ');
    this.state = 'idle';
    this.until = 0;
  }

  take(g) {
    const screen = g.open || g.screen ? g.screen : g.error;
    if (screen !== this.text) this.$('screen').textContent = this.text = screen;
    const count = this.a.dataset.role === 'till' ? `in ${g.in} · out ${g.out}` : [g.in && `in ${g.in}`, g.out && `out ${g.out}`].filter(Boolean).join(' · ');
    if (count !== this.count) this.$('count').textContent = this.count = count;
    if (g.last && (g.last !== this.last || g.in !== this.in || g.out !== this.out)) this.until = performance.now() + lasting;
    Object.assign(this, { open: g.open, last: g.last, in: g.in, out: g.out });
    this.show();
  }

  // show colours the tile by what matters most: how a payment ended, then whether a session is open.
  show() {
    const fresh = this.last && performance.now() < this.until;
    const state = fresh ? this.last : this.open ? 'open' : this.last === 'unknown' ? 'unknown' : 'idle';
    if (this.a.dataset.state === state) return;
    this.a.dataset.state = state;
    this.a.setAttribute('aria-label', [this.name, this.role, state === 'open' ? 'in a session' : outcomes[state]].filter(Boolean).join(', '));
  }
}

// seat draws everybody who is shown; who stays keeps the tile, and a newcomer takes a place that has become free.
function seat(cast) {
  const list = $('tiles');
  const keep = new Set(cast.map((w) => w.msisdn));
  for (const [msisdn, t] of tiles) if (!keep.has(msisdn)) tiles.delete(msisdn);
  cast.forEach((who, i) => {
    let t = tiles.get(who.msisdn);
    if (!t) tiles.set(who.msisdn, (t = new Tile(who)));
    const there = list.children[i];
    if (there === t.li) return;
    if (there) there.replaceWith(t.li);
    else list.append(t.li);
  });
  while (list.children.length > cast.length) list.lastElementChild.remove();
  document.body.classList.toggle('many', cast.length > manyTiles);
  document.body.classList.toggle('few', cast.length <= fewTiles);
  if (!current || !current.isConnected) goTo(list.querySelector('a'), false);
  places = null;
}

function goTo(a, focus = true) {
  if (!a) return;
  if (current) current.tabIndex = -1;
  current = a;
  a.tabIndex = 0;
  if (focus) a.focus();
}

// Arrow keys go from tile to tile; a row is as many as stand at the same height.
$('tiles').addEventListener('keydown', (e) => {
  const all = [...$('tiles').querySelectorAll('a')];
  const i = all.indexOf(e.target.closest('a'));
  const row = all.findIndex((a) => a.offsetTop > all[0].offsetTop);
  const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -(row > 0 ? row : all.length), ArrowDown: row > 0 ? row : all.length }[e.key];
  const to = e.key === 'Home' ? 0 : e.key === 'End' ? all.length - 1 : step === undefined ? -1 : i + step;
  if (e.ctrlKey || e.altKey || e.metaKey || (step === undefined && e.key !== 'Home' && e.key !== 'End')) return;
  e.preventDefault();
  goTo(all[to]);
});
$('tiles').addEventListener('focusin', (e) => { const a = e.target.closest('a'); if (a && a !== current) goTo(a, false); });

// place is the middle of somebody's tile; who has none is at the lower edge, among the others.
function place(msisdn) {
  if (!places) places = new Map();
  if (!places.has(msisdn)) {
    const t = tiles.get(msisdn);
    const ground = $('ground');
    places.set(msisdn, t
      ? { x: t.li.offsetLeft + t.li.offsetWidth / 2, y: t.li.offsetTop + t.li.offsetHeight / 2, known: true }
      : { x: ground.offsetWidth / 2, y: ground.offsetHeight, known: false });
  }
  return places.get(msisdn);
}
new ResizeObserver(() => { places = null; }).observe($('ground'));

// fly draws one payment: a line that fades, and a coin that runs along it.
function fly(move) {
  if (still.matches || document.hidden || flying >= maxFlying || move.outcome !== 'paid' || move.from === move.to) return;
  const from = place(move.from);
  const to = place(move.to);
  if (!from.known && !to.known) return;
  const dx = to.x - from.x;
  const dy = to.y - from.y;
  const far = Math.hypot(dx, dy);
  const line = document.createElement('b');
  const coin = document.createElement('i');
  line.style.width = far + 'px';
  line.style.transform = `translate(${from.x}px, ${from.y}px) rotate(${Math.atan2(dy, dx)}rad)`;
  if (tiles.size <= manyTiles) coin.textContent = move.amount;
  $('sky').append(line, coin);
  flying++;
  const duration = Math.min(1400, 500 + far);
  line.animate([{ opacity: 0.75 }, { opacity: 0.5, offset: 0.7 }, { opacity: 0 }], { duration: duration + 300, fill: 'forwards' });
  coin.animate([{ transform: `translate(${from.x}px, ${from.y}px)` }, { transform: `translate(${to.x}px, ${to.y}px)` }], { duration, easing: 'ease-in-out', fill: 'forwards' })
    .finished.finally(() => { coin.remove(); setTimeout(() => { line.remove(); flying--; }, 300); });
}

function figures(list) {
  const all = $('figures');
  list.forEach((f, i) => {
    let div = all.children[i];
    if (!div) {
      div = document.createElement('div');
      div.append(document.createElement('dt'), document.createElement('dd'));
      all.append(div);
    }
    if (div.firstChild.textContent !== f.name) div.firstChild.textContent = f.name;
    if (div.lastChild.textContent !== f.value) div.lastChild.textContent = f.value;
  });
  while (all.children.length > list.length) all.lastElementChild.remove();
}

function faults(f) {
  const under = $('under');
  if (!under) return;
  under.textContent = f.now ? `now ${f.now}` : f.count ? `${f.count} so far, none now` : 'nothing is broken';
  under.classList.toggle('on', Boolean(f.now));
  for (const b of $('faults').querySelectorAll('[data-fault]')) {
    b.classList.toggle('on', b.dataset.fault === f.now);
    b.classList.toggle('waiting', (f.waiting || []).includes(b.dataset.fault));
  }
  $('done').replaceChildren(...(f.done || []).map((d) => {
    const li = document.createElement('li');
    const when = document.createElement('span');
    when.textContent = `${new Date(d.at).toLocaleTimeString([], { hourCycle: 'h23' })}, ${(d.ms / 1000).toFixed(1)} s`;
    li.append(d.name, when);
    return li;
  }));
}

if ($('faults')) {
  $('faults').open = innerWidth >= 1000;
  $('faults').addEventListener('click', async (e) => {
    const button = e.target.closest('[data-fault]');
    if (!button) return;
    const problem = $('faults').querySelector('.problem');
    problem.textContent = '';
    try {
      await api.fault(button.dataset.fault, document.body.dataset.token);
    } catch (err) {
      problem.textContent = err.message;
    }
  });
}

const stream = new EventSource('/simulator/town/events');
const offline = (is) => {
  document.querySelector('.offline').hidden = !is;
  document.body.classList.toggle('offline-page', is);
};
stream.addEventListener('open', () => offline(false));
stream.addEventListener('error', () => offline(true));
stream.addEventListener('town', (e) => {
  const news = JSON.parse(e.data);
  if (news.cast) seat(news.cast);
  for (const g of news.tiles || []) tiles.get(g.msisdn)?.take(g);
  (news.moves || []).slice(-maxFlying).forEach(fly);
  if (news.figures) figures(news.figures);
  if (news.faults) faults(news.faults);
  const others = news.others ? `${news.others.toLocaleString('en')} more phones are less active and not shown.` : '';
  if ($('others').textContent !== others) $('others').textContent = others;
  document.body.dataset.ready = 'yes';
});
setInterval(() => { for (const t of tiles.values()) if (t.last) t.show(); }, 1000);
