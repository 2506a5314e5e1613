// The twelve keys. In number mode a key writes its digit; in letter mode pressing it again soon takes the next letter.

const letters = { 1: ".,'-1", 2: 'abc2', 3: 'def3', 4: 'ghi4', 5: 'jkl5', 6: 'mno6', 7: 'pqrs7', 8: 'tuv8', 9: 'wxyz9', 0: ' 0' };
const again = 900; // ms within which the same key means the next letter

export function drawKeys(box) {
  for (const k of ['1', '2', '3', '4', '5', '6', '7', '8', '9', '*', '0', '#']) {
    const button = document.createElement('button');
    button.type = 'button';
    button.tabIndex = -1; // the real keyboard writes into the line itself
    button.dataset.key = k;
    const digit = document.createElement('b');
    digit.textContent = k === '*' ? '✱' : k;
    button.append(digit);
    const shown = { 0: '␣', 1: '' }[k] ?? (letters[k] ? letters[k].slice(0, -1) : '');
    if (shown) {
      const small = document.createElement('small');
      small.textContent = shown;
      button.append(small);
    } else button.className = 'alone';
    button.setAttribute('aria-label', { '*': 'star', '#': 'hash' }[k] ?? k);
    box.append(button);
  }
}

export class Keypad {
  constructor(line) {
    this.line = line; // the input on the LCD
    this.letters = false;
    this.last = null;
  }

  press(key) {
    const { line } = this;
    const now = performance.now();
    const cycle = this.letters && letters[key];
    if (!cycle) {
      this.last = null;
      this.write(key);
      return;
    }
    if (this.last && this.last.key === key && now - this.last.at < again && line.value.length > 0) {
      const index = (this.last.index + 1) % cycle.length;
      line.value = line.value.slice(0, -1);
      this.write(this.cased(cycle[index]));
      this.last = { key, index, at: now };
      return;
    }
    this.write(this.cased(cycle[0]));
    this.last = { key, index: 0, at: now };
  }

  // A name begins with a capital, and so does each word of it.
  cased(letter) {
    return /(^|\s)$/.test(this.line.value) ? letter.toUpperCase() : letter;
  }

  write(text) {
    if (this.line.value.length >= this.line.maxLength) return;
    this.line.value += text;
    this.line.dispatchEvent(new Event('input'));
    this.line.scrollLeft = this.line.scrollWidth;
  }

  erase() {
    this.last = null;
    this.line.value = this.line.value.slice(0, -1);
    this.line.dispatchEvent(new Event('input'));
  }
}
