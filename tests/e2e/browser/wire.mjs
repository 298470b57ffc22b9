// Keeps every SIP message of the page as it was on the WebSocket: what the library was given and what it gave.
export const wire = [];

const note = (way, data) => {
  if (typeof data === 'string' && data.trim()) wire.push({ way, at: performance.now(), text: data });
};

window.WebSocket = class extends WebSocket {
  constructor(...args) {
    super(...args);
    this.addEventListener('message', (event) => note('in', event.data));
  }

  send(data) {
    note('out', data);
    super.send(data);
  }
};
