// A network's message centre of somebody else's make: the package smpp of npm.
// It does what it reads, a JSON object a line, and writes what it sees alike.
'use strict';
const [modules] = process.argv.slice(2);
const smpp = require(modules + '/smpp');
const say = (o) => process.stdout.write(JSON.stringify(o) + '\n');
const hex = (b) => (b === undefined ? '' : Buffer.from(b).toString('hex'));

const sessions = {}; // by system id
const todo = {}; // system id -> what becomes of its next messages
let given = 0;

const server = smpp.createServer((session) => {
  let name = '';
  session.on('error', () => {});
  session.on('bind_transceiver', (pdu) => {
    name = pdu.system_id;
    if (pdu.password !== 'secret') {
      session.send(pdu.response({ command_status: smpp.ESME_RINVPASWD }));
      return;
    }
    sessions[name] = session;
    session.send(pdu.response({ system_id: 'node' }));
    say({ event: 'bound', name });
  });
  session.on('enquire_link', (pdu) => session.send(pdu.response()));
  session.on('unbind', (pdu) => {
    session.send(pdu.response());
    say({ event: 'unbound', name });
    session.close();
  });
  session.on('submit_sm', (pdu) => {
    const what = (todo[name] || []).shift() || 'take';
    const id = 'n' + ++given;
    say({
      event: 'submit', name, what, id, from: pdu.source_addr, to: pdu.destination_addr, text: pdu.short_message.message,
      udh: (pdu.short_message.udh || []).map(hex).join(' '), coding: pdu.data_coding, service: pdu.service_type,
      registered: pdu.registered_delivery, op: pdu.ussd_service_op === undefined ? -1 : pdu.ussd_service_op, info: hex(pdu.its_session_info),
    });
    switch (what) {
      case 'throttle':
        session.send(pdu.response({ command_status: smpp.ESME_RTHROTTLED }));
        return;
      case 'silent':
        return;
      case 'cut':
        session.destroy();
        return;
    }
    session.send(pdu.response({ message_id: id }));
    if (pdu.registered_delivery === 1) {
      session.deliver_sm({
        esm_class: 4, source_addr: pdu.destination_addr, destination_addr: pdu.source_addr,
        short_message: `id:${id} sub:001 dlvrd:001 submit date:2611251200 done date:2611251201 stat:DELIVRD err:000 text:${String(pdu.short_message.message).slice(0, 20)}`,
      });
    }
  });
});

server.listen(0, '127.0.0.1', () => say({ event: 'listening', port: server.address().port }));

require('readline').createInterface({ input: process.stdin }).on('line', (line) => {
  const o = JSON.parse(line);
  if (o.todo) {
    todo[o.name] = o.todo;
    return;
  }
  const pdu = { source_addr_ton: 1, source_addr_npi: 1, source_addr: o.from, destination_addr: o.to, short_message: o.text };
  if (o.udh) pdu.short_message = { udh: Buffer.from(o.udh, 'hex'), message: o.text };
  if (o.udh) pdu.esm_class = 0x40;
  if (o.op !== undefined) Object.assign(pdu, { service_type: 'USSD', ussd_service_op: o.op, its_session_info: Buffer.from(o.info, 'hex') });
  sessions[o.name].deliver_sm(pdu, (answer) => say({ event: 'delivered', name: o.name, status: answer.command_status }));
}).on('close', () => process.exit(0));
