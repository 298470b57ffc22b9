// A phone for one line: registers, calls, answers, holds, mutes, sends digits, and says in plain words what happens.
import { Inviter, Registerer, RegistererState, SessionState, UserAgent, UserAgentState } from '/phone/sip.js';
import { problem_of, reason_of } from '/phone/words.js';
import { ring, silence } from '/phone/ring.js';

const RETRY_S = [1, 2, 4, 8, 15, 30];
const SOUND_ONLY = { constraints: { audio: true, video: false } };
const el = (id) => document.getElementById(id);

let agent;
let registerer;
let session;
let domain;
let clock;
let wanted = false;

// What the person sees.

function status(text, kind = '') {
  el('status').className = kind;
  el('status-text').textContent = text;
}

function note(text) {
  const item = document.createElement('li');
  const time = document.createElement('time');
  time.textContent = new Date().toLocaleTimeString();
  item.append(time, text);
  el('history').prepend(item);
  while (el('history').children.length > 50) el('history').lastChild.remove();
}

function problem(text) {
  el('problem').textContent = text ?? '';
  el('problem').hidden = !text;
  if (text) note(text);
}

function show(state, { peer, progress = '' } = {}) {
  const idle = state === 'idle';
  el('dial').hidden = !idle;
  el('talk').hidden = idle;
  el('unregister').hidden = !idle;
  el('incoming').hidden = state !== 'incoming';
  el('active').hidden = state !== 'calling' && state !== 'talking';
  el('tools').hidden = state !== 'talking';
  el('direction').textContent = { incoming: 'Incoming call', calling: 'Calling', talking: 'In a call with' }[state] ?? '';
  if (peer) el('peer').textContent = peer;
  el('progress').textContent = progress;
  if (state === 'incoming') el('answer').focus();
  if (state !== 'talking') open_keypad(false);
}

function open_keypad(open) {
  el('keypad').hidden = !open;
  el('keys').setAttribute('aria-expanded', String(open));
}

const press = (id, on) => el(id).setAttribute('aria-pressed', String(on));
const is_pressed = (id) => el(id).getAttribute('aria-pressed') === 'true';

// The line.

async function register() {
  problem();
  const [address, server] = [el('address').value.trim(), el('server').value.trim()];
  const uri = UserAgent.makeURI(`sip:${address}`);
  if (!uri) return problem(`“${address}” is not an address like 1001@example.test.`);
  domain = uri.host;
  wanted = true;
  status('Connecting…', 'busy');
  el('register').disabled = true;
  agent = new UserAgent({
    uri,
    authorizationUsername: uri.user,
    authorizationPassword: el('password').value,
    transportOptions: { server, connectionTimeout: 10 },
    logLevel: 'error',
    userAgentString: 'IF.bus phone',
    // Host candidates only: no third party learns who calls. A relay is the server's business.
    sessionDescriptionHandlerFactoryOptions: { peerConnectionConfiguration: { iceServers: [] }, iceGatheringTimeout: 2000 },
    delegate: { onInvite: incoming, onDisconnect: disconnected },
  });
  try {
    await agent.start();
    await bind();
    localStorage.setItem('address', address);
    el('account').hidden = true;
    el('line').hidden = false;
    el('target').focus();
  } catch (error) {
    wanted = false;
    problem(error.words ?? `No connection to ${server}. Is the adapter running there, and is its certificate accepted?`);
    status('Not registered');
    await agent.stop().catch(() => {});
  }
  el('register').disabled = false;
}

/// Registers over the connection there is, and keeps it so; rejects with words when the server refuses.
function bind() {
  registerer?.dispose().catch(() => {});
  registerer = new Registerer(agent, { expires: 600 });
  return new Promise((resolve, reject) => {
    registerer.stateChange.addListener((state) => {
      if (state !== RegistererState.Registered) return;
      status(`Registered as ${agent.configuration.uri.user}@${domain}`, 'on');
      note('Registered');
      resolve();
    });
    registerer.register({
      requestDelegate: {
        onReject: ({ message }) => {
          const words = `Not registered. ${problem_of(message.statusCode, message.reasonPhrase)}`;
          reject(Object.assign(new Error(words), { words }));
        },
      },
    }).catch(reject);
  });
}

async function disconnected(error) {
  if (!wanted || !error) return;
  for (let attempt = 0; wanted && agent.state === UserAgentState.Started; attempt += 1) {
    const seconds = RETRY_S[Math.min(attempt, RETRY_S.length - 1)];
    status(`Connection lost; next try in ${seconds} s`, 'busy');
    if (attempt === 0) note('Connection lost');
    await new Promise((wake) => setTimeout(wake, seconds * 1000));
    if (!wanted) return;
    try {
      await agent.reconnect();
      await bind();
      return;
    } catch (failure) {
      if (failure.words) problem(failure.words);
    }
  }
}

async function unregister() {
  wanted = false;
  problem();
  status('Not registered');
  note('Unregistered');
  el('line').hidden = true;
  el('account').hidden = false;
  await registerer.unregister().catch(() => {});
  await agent.stop().catch(() => {});
  registerer = undefined;
}

// The call.

/// `1002` is a user of our own domain.
const target_of = (text) => UserAgent.makeURI(/^sips?:/.test(text) ? text : `sip:${text.includes('@') ? text : `${text}@${domain}`}`);

const name_of = (identity) => identity.displayName || `${identity.uri.user ?? ''}@${identity.uri.host}`.replace(`@${domain}`, '');

async function call() {
  problem();
  const text = el('target').value.trim();
  const target = target_of(text);
  if (!target) return problem(`“${text}” is not an address that can be called.`);
  const inviter = new Inviter(agent, target, { sessionDescriptionHandlerOptions: SOUND_ONLY });
  follow(inviter, text);
  show('calling', { peer: text, progress: 'Connecting…' });
  note(`Calling ${text}`);
  try {
    await inviter.invite({
      requestDelegate: {
        onProgress: ({ message }) => {
          if (message.statusCode < 180 || inviter.state === SessionState.Established) return;
          el('progress').textContent = 'Ringing…';
          ring('back');
        },
        onReject: ({ message }) => problem(problem_of(message.statusCode, message.reasonPhrase)),
      },
    });
  } catch (error) {
    failed(error);
  }
}

function incoming(invitation) {
  if (session) {
    invitation.reject({ statusCode: 486 });
    note(`Busy for ${name_of(invitation.remoteIdentity)}`);
    return;
  }
  const peer = name_of(invitation.remoteIdentity);
  invitation.delegate = { onCancel: ({ request }) => note(reason_of(request) ?? `${peer} gave up`) };
  follow(invitation, peer);
  show('incoming', { peer });
  note(`${peer} is calling`);
  ring('in');
}

/// Keeps the page true to a session from its first to its last state.
function follow(one, peer) {
  session = one;
  one.delegate = {
    ...one.delegate,
    onBye: (bye) => {
      note(reason_of(bye.request) ?? `${peer} hung up`);
      bye.accept();
    },
  };
  one.stateChange.addListener((state) => {
    if (state === SessionState.Established) talk(peer);
    if (state === SessionState.Terminated) end(peer);
  });
}

function talk(peer) {
  silence();
  const connection = session.sessionDescriptionHandler.peerConnection;
  const stream = new MediaStream(connection.getReceivers().map((receiver) => receiver.track).filter(Boolean));
  el('sound').srcObject = stream;
  connection.addEventListener('connectionstatechange', () => {
    if (connection.connectionState === 'failed') problem('No sound: the two sides found no way to each other.');
  });
  press('mute', false);
  press('hold', false);
  show('talking', { peer });
  note(`In a call with ${peer}`);
  const began = Date.now();
  const tick = () => {
    const seconds = Math.floor((Date.now() - began) / 1000);
    const time = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, '0')}`;
    el('progress').textContent = is_pressed('hold') ? `${time}, on hold` : time;
  };
  tick();
  clock = setInterval(tick, 500);
}

function end(peer) {
  silence();
  clearInterval(clock);
  session = undefined;
  el('sound').srcObject = null;
  show('idle');
  el('target').focus();
  note(`The call with ${peer} is over`);
}

function failed(error) {
  const denied = error.name === 'NotAllowedError';
  const absent = error.name === 'NotFoundError';
  problem(denied ? 'The browser may not use the microphone. Allow it for this page.'
    : absent ? 'There is no microphone.' : `That did not work: ${error.message}`);
  if (session && session.state !== SessionState.Terminated) hangup();
}

function hangup() {
  if (session.state === SessionState.Established) session.bye();
  else if (session instanceof Inviter) session.cancel().catch(() => session.dispose());
  else session.reject();
}

async function hold() {
  const on = !is_pressed('hold');
  el('hold').disabled = true;
  session.sessionDescriptionHandlerOptionsReInvite = { hold: on };
  try {
    await session.invite({
      requestDelegate: {
        onAccept: () => {
          press('hold', on);
          hear();
          note(on ? 'On hold' : 'Taken back');
          el('hold').disabled = false;
        },
        onReject: ({ message }) => {
          problem(`No hold. ${problem_of(message.statusCode, message.reasonPhrase)}`);
          el('hold').disabled = false;
        },
      },
    });
  } catch (error) {
    el('hold').disabled = false;
    problem(`No hold. ${error.message}`);
  }
}

function mute() {
  press('mute', !is_pressed('mute'));
  hear();
}

/// The microphone is heard unless the call is muted or held.
function hear() {
  for (const sender of session.sessionDescriptionHandler.peerConnection.getSenders()) {
    if (sender.track) sender.track.enabled = !is_pressed('mute') && !is_pressed('hold');
  }
}

/// RFC 4733 in the sound where both sides agreed on it, SIP INFO where not.
function digit(tone) {
  if (session?.state !== SessionState.Established) return;
  const sent = session.sessionDescriptionHandler.sendDtmf(tone, { duration: 160, interToneGap: 70 });
  if (!sent) {
    session.info({
      requestOptions: { body: { contentDisposition: 'render', contentType: 'application/dtmf-relay', content: `Signal=${tone}\r\nDuration=160` } },
    });
  }
  note(`Digit ${tone}`);
}

// The page.

for (const key of '123456789*0#') {
  const button = document.createElement('button');
  button.type = 'button';
  button.textContent = key;
  button.setAttribute('aria-label', { '*': 'star', '#': 'hash' }[key] ?? key);
  button.addEventListener('click', () => digit(key));
  el('keypad').append(button);
}

const on = (id, event, act) => el(id).addEventListener(event, (given) => {
  given.preventDefault();
  act(given);
});
on('account', 'submit', register);
on('dial', 'submit', call);
on('unregister', 'click', unregister);
on('answer', 'click', () => session.accept({ sessionDescriptionHandlerOptions: SOUND_ONLY }).catch(failed));
on('reject', 'click', () => session.reject({ statusCode: 603 }));
on('hangup', 'click', hangup);
on('hold', 'click', hold);
on('mute', 'click', mute);
on('keys', 'click', () => open_keypad(el('keypad').hidden));
document.addEventListener('keydown', ({ key, target }) => {
  if (!el('keypad').hidden && /^[0-9*#]$/.test(key) && target.tagName !== 'INPUT') digit(key);
});
addEventListener('pagehide', () => {
  if (session) hangup();
  registerer?.unregister().catch(() => {});
});

el('address').value = decodeURIComponent(location.hash.slice(1)) || localStorage.getItem('address') || '';
el('server').value = `${location.protocol === 'https:' ? 'wss' : 'ws'}://${location.host}/ws`;
el(el('address').value ? 'password' : 'address').focus();
