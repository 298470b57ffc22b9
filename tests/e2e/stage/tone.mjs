// Tones in WAV files: written as a fake microphone, and found again in a recording.
import fs from 'node:fs';

/// A WAV file (PCM, 16 bit, mono) of `seconds` of a sine at half of full scale. Whole periods, so it loops without a click.
export function write_tone(file, hz, seconds = 10, rate = 48_000) {
  const samples = Buffer.alloc(seconds * rate * 2);
  for (let i = 0; i < seconds * rate; i += 1) {
    samples.writeInt16LE(Math.round(16_384 * Math.sin((2 * Math.PI * hz * i) / rate)), i * 2);
  }
  const head = Buffer.alloc(44);
  head.write('RIFF', 0);
  head.writeUInt32LE(36 + samples.length, 4);
  head.write('WAVEfmt ', 8);
  head.writeUInt32LE(16, 16);
  head.writeUInt16LE(1, 20);
  head.writeUInt16LE(1, 22);
  head.writeUInt32LE(rate, 24);
  head.writeUInt32LE(rate * 2, 28);
  head.writeUInt16LE(2, 32);
  head.writeUInt16LE(16, 34);
  head.write('data', 36);
  head.writeUInt32LE(samples.length, 40);
  fs.writeFileSync(file, Buffer.concat([head, samples]));
}

/// The part of the energy of the recording that is at each of the frequencies (0 to 1), over its last
/// `seconds`; undefined while there is not that much of it. Reads a file that is still being written, so sizes
/// in its head are not believed.
export function energy_at(file, frequencies, seconds = 1) {
  const wav = fs.readFileSync(file);
  const format = wav.indexOf('fmt ');
  const data = wav.indexOf('data');
  if (format < 0 || data < 0) return undefined;
  const channels = wav.readUInt16LE(format + 10);
  const rate = wav.readUInt32LE(format + 12);
  const frame = channels * 2;
  const frames = Math.floor((wav.length - data - 8) / frame);
  const window = Math.floor(seconds * rate);
  if (frames < window) return undefined;
  const sample = (i) => wav.readInt16LE(data + 8 + (frames - window + i) * frame);
  let total = 0;
  for (let i = 0; i < window; i += 1) total += sample(i) ** 2;
  return frequencies.map((hz) => (total === 0 ? 0 : goertzel(sample, window, hz / rate) / total));
}

/// The share of a full sine of this frequency (turns per sample) in the signal's energy.
function goertzel(sample, count, turns) {
  const turn = 2 * Math.cos(2 * Math.PI * turns);
  let s1 = 0;
  let s2 = 0;
  for (let i = 0; i < count; i += 1) [s1, s2] = [sample(i) + turn * s1 - s2, s1];
  return (2 * (s1 * s1 + s2 * s2 - turn * s1 * s2)) / count;
}
