// SIP's numbers in a person's words.
const WORDS = {
  401: 'the password is wrong.',
  403: 'that is not allowed for this address.',
  404: 'there is no such address.',
  407: 'the password is wrong.',
  408: 'nobody answered in time.',
  480: 'they are not reachable right now.',
  484: 'the address is incomplete.',
  486: 'they are busy.',
  487: 'the call was given up.',
  488: 'the two sides have no common sound format.',
  500: 'the server has a fault.',
  503: 'the server is too busy or going down.',
  600: 'they are busy.',
  603: 'they declined.',
};

/// A final status of 300 to 699.
export function problem_of(status, phrase) {
  const words = WORDS[status] ?? `${phrase}.`;
  return `${words[0].toUpperCase()}${words.slice(1)} (${status})`;
}

/// Why the other side or the server ended it, if its Reason header (RFC 3326) says so.
export function reason_of(request) {
  const reason = request?.getHeader?.('Reason') ?? '';
  if (/cause=200\b/.test(reason)) return 'Answered elsewhere';
  return /text="([^"]+)"/.exec(reason)?.[1];
}
