// What the page asks of the simulator's JSON interface.

async function ask(method, path, body, headers = {}) {
  const options = { method, headers };
  if (body !== undefined) {
    options.headers['Content-Type'] = 'application/json';
    options.body = JSON.stringify(body);
  }
  const response = await fetch('/simulator/' + path, options);
  const answer = response.status === 204 ? null : await response.json();
  if (!response.ok) throw new Error(answer && answer.error ? answer.error : 'the simulator answered ' + response.status);
  return answer;
}

export const phones = (...numbers) => ask('GET', 'phones' + (numbers.length ? '?' + numbers.map((n) => 'phone=' + encodeURIComponent(n)).join('&') : ''));
export const fault = (name, token) => ask('POST', 'town/faults', { name }, { 'X-Town-Token': token });
export const inbox = (msisdn) => ask('GET', `phones/${msisdn}/sms`);
export const text = (msisdn, body) => ask('POST', `phones/${msisdn}/sms`, { body });
export const act = (msisdn, action, body) => ask('POST', `phones/${msisdn}/${action}`, body);

// Small things that outlive a reload. A browser may refuse to keep them; then they last as long as the page.
const kept = new Map();
export function recall(key) {
  try {
    const text = localStorage.getItem('simulator.' + key);
    if (text !== null) return JSON.parse(text);
  } catch { /* not allowed, or not ours */ }
  return kept.get(key);
}
export function keep(key, value) {
  kept.set(key, value);
  try { localStorage.setItem('simulator.' + key, JSON.stringify(value)); } catch { /* not allowed, or full */ }
}
