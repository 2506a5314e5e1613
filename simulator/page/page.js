// The page: which phones are switched on, and the one stream that brings their news.

import * as api from './api.js';
import { Handset } from './handset.js';

const { code, patience } = document.body.dataset;
const grid = document.getElementById('phones');
const who = document.getElementById('who');
const number = document.getElementById('number');
const problem = document.querySelector('.add .problem');
const tones = 5;
const another = 'another';
let people = [];
let on = []; // handsets, in the page's order
let stream = null;

const spelled = (s) => {
  const digits = s.replace(/[\s()-]/g, '').replace(/^\+/, '');
  return /^[1-9]\d{6,14}$/.test(digits) ? '+' + digits : '';
};

function switchOn(msisdn) {
  if (on.some((h) => h.msisdn === msisdn)) return;
  const index = people.findIndex((p) => p.msisdn === msisdn);
  const tone = index >= 0 ? index % tones : Number(msisdn.slice(-2)) % tones;
  const handset = new Handset(index >= 0 ? people[index] : { msisdn }, { code, patience: Number(patience), tone, onRemove: switchOff });
  on.push(handset);
  grid.append(handset.root);
  tick();
}

function switchOff(handset) {
  on = on.filter((h) => h !== handset);
  handset.root.remove();
  changed();
  (on.length ? on[on.length - 1].line : who).focus();
}

// changed remembers which phones are on and follows exactly those.
function changed() {
  const numbers = on.map((h) => h.msisdn);
  api.keep('phones', numbers);
  history.replaceState(null, '', '#' + numbers.map((n) => n.slice(1)).join(','));
  document.getElementById('nobody').hidden = on.length > 0;
  drawChoices();
  follow(numbers);
}

function drawChoices() {
  const left = people.filter((p) => !on.some((h) => h.msisdn === p.msisdn));
  who.replaceChildren(
    ...left.map((p) => new Option(`${p.name} ${p.msisdn}`, p.msisdn)),
    new Option(left.length ? 'Another number…' : 'Any number', another),
  );
  number.hidden = who.value !== another;
}

function follow(numbers) {
  if (stream) stream.close();
  stream = null;
  offline(false);
  if (numbers.length === 0) return;
  stream = new EventSource('/simulator/events?' + numbers.map((n) => 'phone=' + encodeURIComponent(n)).join('&'));
  const find = (e) => {
    const data = JSON.parse(e.data);
    return [on.find((h) => h.msisdn === data.msisdn), data];
  };
  stream.addEventListener('open', () => {
    offline(false);
    on.forEach((h) => h.renew());
  });
  stream.addEventListener('error', () => offline(true));
  stream.addEventListener('state', (e) => { const [h, data] = find(e); if (h) h.take(data.state); });
  stream.addEventListener('sms', (e) => { const [h, data] = find(e); if (h) h.messages.arrive(data.sms); });
  stream.addEventListener('cleared', (e) => { const [h] = find(e); if (h) h.messages.fill([]); });
}

function offline(is) {
  document.querySelector('.offline').hidden = !is;
  document.body.classList.toggle('offline-page', is);
}

function tick() {
  const now = new Date();
  const clock = now.toLocaleTimeString([], { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' });
  const date = now.toLocaleDateString([], { weekday: 'short', day: 'numeric', month: 'short' });
  on.forEach((h) => h.tick(clock, date));
}

who.addEventListener('change', () => { number.hidden = who.value !== another; });
document.getElementById('add').addEventListener('submit', (e) => {
  e.preventDefault();
  problem.textContent = '';
  const msisdn = who.value === another ? spelled(number.value) : who.value;
  if (!msisdn) {
    problem.textContent = 'A number with its country code, like +254712000009';
    number.focus();
    return;
  }
  number.value = '';
  switchOn(msisdn);
  changed();
  const handset = on.find((h) => h.msisdn === msisdn);
  handset.line.focus();
  handset.root.scrollIntoView({ block: 'nearest' });
});

async function start() {
  people = (await api.phones()).filter((p) => p.name);
  const fromHash = location.hash.slice(1).split(',').map(spelled).filter(Boolean);
  const before = fromHash.length ? fromHash : api.recall('phones');
  const more = (before || []).filter((n) => !people.some((p) => p.msisdn === n)).slice(0, 100);
  if (more.length) people.push(...(await api.phones(...more)).filter((p) => p.name));
  const fit = innerWidth < 860 ? 1 : innerWidth < 1280 ? 2 : 3;
  (before || people.slice(0, fit).map((p) => p.msisdn)).forEach(switchOn);
  changed();
  setInterval(tick, 5000);
  if (on.length && !matchMedia('(pointer: coarse)').matches) on[0].line.focus();
  document.body.dataset.ready = 'yes';
}

start().catch(() => offline(true));
