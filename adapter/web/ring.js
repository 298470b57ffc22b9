// What a ringing phone sounds like, made of two tones: `in` for a call to us, `back` for one of ours.
const RHYTHM = {
  in: { tones: [480, 620], on: 0.4, every: 1.2, gain: 0.08 },
  back: { tones: [440, 480], on: 1, every: 4, gain: 0.03 },
};

let context;
let timer;
let playing;

export function ring(kind) {
  if (playing === kind) return;
  silence();
  playing = kind;
  const { every } = RHYTHM[kind];
  burst(RHYTHM[kind]);
  timer = setInterval(() => burst(RHYTHM[kind]), every * 1000);
}

export function silence() {
  clearInterval(timer);
  playing = undefined;
}

function burst({ tones, on, gain }) {
  context ??= new AudioContext();
  const volume = context.createGain();
  volume.gain.value = gain;
  volume.connect(context.destination);
  for (const hz of tones) {
    const tone = context.createOscillator();
    tone.frequency.value = hz;
    tone.connect(volume);
    tone.start();
    tone.stop(context.currentTime + on);
  }
}
