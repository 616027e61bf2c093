// A process that contends for the owner's locks (INTEROP §3) with the genuine
// proper-lockfile. One line of JSON in is one task, done before the next; lines
// of JSON out say when it is in its section and, at its end, all that it did.
// Times are nanoseconds of CLOCK_MONOTONIC, waits are milliseconds.
'use strict';
const fs = require('fs');
const lockfile = require('proper-lockfile');

const now = () => Number(process.hrtime.bigint());
const sleep = (ms) => new Promise((done) => setTimeout(done, Math.max(0, ms)));
const between = ([min, max]) => min + Math.random() * (max - min);
const say = (what) => process.stdout.write(JSON.stringify(what) + '\n');
const key = (stat) => `${stat.ino}@${stat.birthtimeNs}`;

// disk is the file system as one holder sees it: with a clock that is skewed,
// and slow before it changes anything. A new one for each lock, because
// proper-lockfile measures the granularity of times once a file system, as a
// fresh process does. It notes which directory each rmdir really removed.
function disk(task, keys, log) {
  const shift = (time) => new Date(time.getTime() + task.skew);
  const slowly = (then) => (task.slow ? setTimeout(then, Math.random() * task.slow) : then());
  let seen = 0;
  return {
    mkdir: (path, done) => slowly(() => {
      try {
        fs.mkdirSync(path);
        const stat = fs.statSync(path, { bigint: true });
        if ((stat.mode & 0o777n) !== 0o700n) keys[path] = key(stat); // else it has been robbed, and evercred's stands here
      } catch (err) {
        return setImmediate(done, err);
      }
      setImmediate(done, null);
    }),
    stat: (path, done) => fs.stat(path, (err, stat) => {
      seen = now();
      if (stat) stat.mtime = new Date(stat.mtime.getTime() - task.skew);
      done(err, stat);
    }),
    utimes: (path, atime, mtime, done) => fs.utimes(path, shift(atime), shift(mtime), done),
    rmdir: (path, done) => slowly(() => {
      let fd = -1;
      try { fd = fs.openSync(path, fs.constants.O_DIRECTORY); } catch { /* it is gone */ }
      const at = now();
      fs.rmdir(path, (err) => {
        const stat = fd < 0 ? null : fs.fstatSync(fd, { bigint: true });
        if (!err && stat && stat.nlink === 0n) log.push({ path, key: key(stat), at, done: now(), seen, release: Boolean(task.inside) });
        if (fd >= 0) fs.closeSync(fd);
        done(err);
      });
    }),
  };
}

async function contend(task) {
  const result = { entered: false, keys: {}, removed: [], compromised: 0, tries: 0 };
  await sleep((task.start - now()) / 1e6);
  const end = now() + task.patience * 1e6;
  let releases = [];
  const free = async () => { // the last first
    task.inside = true;
    for (const release of releases.reverse()) await release().catch(() => {}); // it may have been lost
    releases = [];
    task.inside = false;
  };
  while (now() < end) {
    result.tries++;
    try {
      for (const path of task.paths) {
        const options = {
          lockfilePath: path, realpath: false, stale: task.stale, update: task.update, fs: disk(task, result.keys, result.removed),
          onCompromised: () => { result.compromised = result.compromised || now(); },
        };
        releases.push(await lockfile.lock(path, options));
      }
    } catch (err) {
      if (err.code !== 'ELOCKED' && err.code !== 'ENOENT') throw err;
      await free();
      await sleep(between(task.poll));
      continue;
    }
    result.entered = true;
    result.enter = now();
    say({ event: 'in' });
    const out = result.enter + task.hold * 1e6;
    while (now() < out && !result.compromised) await sleep(Math.min(50, (out - now()) / 1e6));
    result.leave = now();
    await free();
    break;
  }
  say({ event: 'done', result });
}

let work = Promise.resolve();
let rest = '';
process.stdin.on('data', (chunk) => {
  const lines = (rest + chunk).split('\n');
  rest = lines.pop();
  for (const line of lines) work = work.then(() => contend(JSON.parse(line)));
});
process.stdin.on('end', () => process.exit(0));
