// Listens to what a peer connection receives: which tone is in it, and how loud. It proves whose audio arrived, not
// only that packets did.
const FFT = 8192;

let context;

export class Ear {
  #connection;
  #audio = new Audio();
  #tracks = '';
  #analyser;

  /// `connection`: a function that gives the RTCPeerConnection, which may get other tracks later.
  constructor(connection) {
    this.#connection = connection;
  }

  #listen() {
    const tracks = this.#connection().getReceivers().map(({ track }) => track).filter((track) => track.readyState === 'live');
    const ids = tracks.map(({ id }) => id).join();
    if (ids === this.#tracks) return;
    this.#tracks = ids;
    context ??= new AudioContext();
    const stream = new MediaStream(tracks);
    // Chromium feeds a remote track to Web Audio only while an element plays it.
    this.#audio.srcObject = stream;
    this.#audio.play().catch(() => {});
    this.#analyser = context.createAnalyser();
    this.#analyser.fftSize = FFT;
    this.#analyser.smoothingTimeConstant = 0;
    context.createMediaStreamSource(stream).connect(this.#analyser);
  }

  /// The loudest frequency now (Hz) and its level (dB of full scale); -Infinity in silence.
  loudest() {
    this.#listen();
    const bins = new Float32Array(this.#analyser?.frequencyBinCount ?? 1).fill(-Infinity);
    this.#analyser?.getFloatFrequencyData(bins);
    const bin = bins.reduce((best, level, i) => (level > bins[best] ? i : best), 0);
    return { hz: (bin * (context?.sampleRate ?? 0)) / FFT, db: bins[bin] };
  }
}
