// The phone of the tests on SIP.js.
import { wire } from './wire.mjs';
import { Inviter, Messager, Registerer, RegistererState, SessionState, UserAgent } from 'sip.js';
import { Ear } from './ear.mjs';

const MEDIA = { audio: { echoCancellation: false, noiseSuppression: false, autoGainControl: false }, video: false };
const OPTIONS = { sessionDescriptionHandlerOptions: { constraints: MEDIA } };

const phone = {
  wire,
  calls: [],
  messages: [],
  ring: 'wait',
  registered: false,

  async start({ wss, uri, user, password }) {
    this.agent = new UserAgent({
      uri: UserAgent.makeURI(uri),
      transportOptions: { server: wss },
      authorizationUsername: user,
      authorizationPassword: password,
      logLevel: 'warn',
      // By itself it refuses a call that nobody has answered for 60 s.
      noAnswerTimeout: 180,
      sessionDescriptionHandlerFactoryOptions: { peerConnectionConfiguration: { iceServers: [] }, iceGatheringTimeout: 1000 },
      delegate: {
        onInvite: (invitation) => this.incoming(invitation),
        onMessage: (message) => {
          this.messages.push(message.request.body);
          message.accept();
        },
      },
    });
    await this.agent.start();
    this.registerer = new Registerer(this.agent);
    await new Promise((resolve, reject) => {
      this.registerer.stateChange.addListener((state) => {
        this.registered = state === RegistererState.Registered;
        if (this.registered) resolve();
      });
      this.registerer.register({ requestDelegate: { onReject: (r) => reject(new Error(`REGISTER: ${r.message.statusCode}`)) } });
    });
  },

  track(session, way) {
    const call = { way, session, state: 'new', status: 0 };
    this.calls.push(call);
    session.stateChange.addListener((state) => {
      if (state === SessionState.Established) {
        call.state = 'answered';
        call.ear = new Ear(() => session.sessionDescriptionHandler.peerConnection);
      }
      if (state === SessionState.Terminated) call.state = 'ended';
    });
    return call;
  },

  call(target) {
    const session = new Inviter(this.agent, UserAgent.makeURI(target), OPTIONS);
    const call = this.track(session, 'out');
    return session.invite({
      requestDelegate: {
        onProgress: (r) => { call.status = r.message.statusCode; if (call.status >= 180) call.state = 'ringing'; },
        onReject: (r) => { call.status = r.message.statusCode; },
      },
    });
  },

  incoming(invitation) {
    const call = this.track(invitation, 'in');
    call.state = 'ringing';
    if (this.ring === 'answer') return invitation.accept(OPTIONS);
    if (this.ring === 'busy') return invitation.reject({ statusCode: 486 });
    return undefined;
  },

  get last() {
    return this.calls[this.calls.length - 1];
  },

  answer() {
    return this.last.session.accept(OPTIONS);
  },

  hangup() {
    const { session, way } = this.last;
    if (session.state === SessionState.Established) return session.bye();
    // By itself it would decline with 480, as if nobody were there.
    return way === 'out' ? session.cancel() : session.reject({ statusCode: 603 });
  },

  hold(on) {
    const { session } = this.last;
    session.sessionDescriptionHandlerOptionsReInvite = { hold: on };
    return new Promise((resolve, reject) => {
      session.invite({
        requestDelegate: { onAccept: () => resolve(), onReject: (r) => reject(new Error(`re-INVITE: ${r.message.statusCode}`)) },
      }).catch(reject);
    });
  },

  message(target, text) {
    return new Promise((resolve, reject) => {
      new Messager(this.agent, UserAgent.makeURI(target), text).message({
        requestDelegate: { onAccept: () => resolve(), onReject: (r) => reject(new Error(`MESSAGE: ${r.message.statusCode}`)) },
      });
    });
  },

  state() {
    return this.calls.map(({ way, state, status }) => ({ way, state, status }));
  },

  hears() {
    return this.last?.ear?.loudest() ?? null;
  },

  async stop() {
    await this.registerer.unregister();
    await this.agent.stop();
  },
};

window.phone = phone;
