// The fold-out beside a phone: what the gateway sent and got, newest first.

const what = { ussd: '', retry: 'the same request again', event: 'end of session', push: 'from the application' };

function element(tag, className, text) {
  const e = document.createElement(tag);
  if (className) e.className = className;
  if (text !== undefined) e.textContent = text;
  return e;
}

function exchange(x) {
  const li = element('li', x.kind);
  const head = element('div', 'head');
  head.append(element('span', 'path', 'POST ' + new URL(x.url, location).pathname));
  if (x.status) head.append(element('span', x.status === 200 ? 'ok' : 'no', String(x.status)));
  head.append(element('span', 'tag', x.pending ? 'waiting…' : x.ms + ' ms'));
  if (what[x.kind]) head.append(element('span', 'tag', what[x.kind]));
  li.append(head);

  const form = element('dl');
  for (const { name, value } of x.form) {
    const dd = element('dd');
    if (name === 'text') dd.append(element('mark', '', value === '' ? '(empty)' : value));
    else dd.textContent = value;
    form.append(element('dt', '', name), dd);
  }
  li.append(form);
  if (x.error) li.append(element('p', 'no', x.error));
  if (x.body) li.append(element('pre', '', x.body));
  const notes = (x.headers || []).map((h) => `${h.name}: ${h.value}`);
  if (x.septets) notes.push(x.septets > 182 ? `${x.septets} septets, a phone shows 182` : `${x.septets} of 182 septets`);
  if (notes.length) li.append(element('p', x.septets > 182 ? 'no' : 'tag', notes.join(' · ')));
  return li;
}

export function showWire(details, raw) {
  const sent = raw.length;
  details.querySelector('.count').textContent = sent ? `(${sent})` : '';
  if (details.open) details.querySelector('.exchanges').replaceChildren(...raw.slice().reverse().map(exchange));
}
