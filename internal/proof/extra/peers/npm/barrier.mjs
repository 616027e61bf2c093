// The barrier of the race: the program is loaded and says so, and goes on when
// its standard input ends.
import { closeSync, readSync, writeSync } from 'node:fs';

export function barrier() {
  writeSync(3, '.');
  closeSync(3);
  const one = Buffer.alloc(1);
  while (readSync(0, one) > 0);
}
