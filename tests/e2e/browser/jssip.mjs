// The phone of the tests on JsSIP; the same face as the one on SIP.js.
import { wire } from './wire.mjs';
import JsSIP from 'jssip';
import { Ear } from './ear.mjs';

const MEDIA = { audio: { echoCancellation: false, noiseSuppression: false, autoGainControl: false }, video: false };
const OPTIONS = { mediaConstraints: MEDIA, pcConfig: { iceServers: [] } };

const phone = {
  wire,
  calls: [],
  messages: [],
  ring: 'wait',
  registered: false,

  start({ wss, uri, password }) {
    const sockets = [new JsSIP.WebSocketInterface(wss)];
    // By itself it refuses a call that nobody has answered for 60 s.
    this.agent = new JsSIP.UA({ sockets, uri, password, register: true, no_answer_timeout: 180 });
    this.agent.on('newRTCSession', ({ session, originator }) => this.track(session, originator === 'local' ? 'out' : 'in'));
    this.agent.on('newMessage', ({ request, originator }) => {
      if (originator === 'remote') this.messages.push(request.body ?? '');
    });
    this.agent.on('unregistered', () => { this.registered = false; });
    return new Promise((resolve, reject) => {
      this.agent.on('registered', () => { this.registered = true; resolve(); });
      this.agent.on('registrationFailed', ({ cause }) => reject(new Error(`REGISTER: ${cause}`)));
      this.agent.start();
    });
  },

  track(session, way) {
    const call = { way, session, state: way === 'in' ? 'ringing' : 'new', status: 0 };
    this.calls.push(call);
    const end = ({ message }) => {
      call.status = message?.status_code ?? call.status;
      call.state = 'ended';
    };
    session.on('progress', ({ response }) => {
      if (call.state === 'new' && response?.status_code >= 180) call.state = 'ringing';
    });
    session.on('confirmed', () => {
      call.state = 'answered';
      call.ear = new Ear(() => session.connection);
    });
    session.on('ended', end);
    session.on('failed', end);
    if (way === 'in' && this.ring === 'answer') queueMicrotask(() => session.answer(OPTIONS));
    if (way === 'in' && this.ring === 'busy') queueMicrotask(() => session.terminate({ status_code: 486 }));
  },

  call(target) {
    this.agent.call(target, OPTIONS);
  },

  get last() {
    return this.calls[this.calls.length - 1];
  },

  answer() {
    this.last.session.answer(OPTIONS);
  },

  hangup() {
    // By itself it would answer a call that is declined with 480, as if nobody were there.
    const { session, way } = this.last;
    session.terminate(way === 'in' && session.isInProgress() ? { status_code: 603 } : {});
  },

  hold(on) {
    const { session } = this.last;
    return new Promise((resolve) => {
      // It refuses while the other side's offer is not acknowledged.
      const begin = () => {
        if (!(on ? session.hold({}, resolve) : session.unhold({}, resolve))) setTimeout(begin, 20);
      };
      begin();
    });
  },

  message(target, text) {
    return new Promise((resolve, reject) => {
      this.agent.sendMessage(target, text, {
        eventHandlers: { succeeded: () => resolve(), failed: ({ cause }) => reject(new Error(`MESSAGE: ${cause}`)) },
      });
    });
  },

  state() {
    return this.calls.map(({ way, state, status }) => ({ way, state, status }));
  },

  hears() {
    return this.last?.ear?.loudest() ?? null;
  },

  stop() {
    return new Promise((resolve) => {
      this.agent.on('disconnected', resolve);
      this.agent.stop();
    });
  },
};

window.phone = phone;
