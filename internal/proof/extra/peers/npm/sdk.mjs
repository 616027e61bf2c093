// One API request with the profile that the official TypeScript SDK finds.
import Anthropic from '@anthropic-ai/sdk';
import { barrier } from './barrier.mjs';

barrier();
const client = new Anthropic();
await client.messages.create({ model: 'none', max_tokens: 1, messages: [{ role: 'user', content: '.' }] });
