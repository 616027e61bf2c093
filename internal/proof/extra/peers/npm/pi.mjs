// One token from the storage of the coding agent pi.
import { AuthStorage } from './node_modules/@mariozechner/pi-coding-agent/dist/core/auth-storage.js';
import { barrier } from './barrier.mjs';

barrier();
const storage = AuthStorage.create(process.env.PEER_FILE);
const token = await storage.getApiKey('anthropic', { includeFallback: false });
if (!token) {
  for (const e of storage.drainErrors()) console.error(String(e));
  process.exitCode = 1;
}
