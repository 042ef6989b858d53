// biome-ignore-all lint/suspicious/noTemplateCurlyInString: the texts are code
import type { Mutant } from './mutant.ts'

const PATTERN = ['test/common/oci/registry-pattern.test.ts']
const CREDENTIALS = ['test/common/oci/credentials.test.ts']
const CANDIDATES = ['test/common/oci/credential-candidates.test.ts']
const IDENTITY = ['test/driver/pull/credential-identity.test.ts']
const ANSWER_CACHE = ['test/driver/credentials/answer-cache.test.ts']
const PROVIDER = ['test/driver/credentials/credential-provider.test.ts']
const PROVIDER_CONFIG = ['test/driver/credentials/provider-config.test.ts']
const STDERR = ['test/driver/credentials/provider-stderr.test.ts']
const RUN_PROVIDER = ['test/driver/credentials/run-provider.test.ts']
const DOCKER_CONFIG = ['test/driver/credentials/docker-config-file.test.ts']

/** Whose credentials are used for whom, in which order, and what is told of them. */
export const CREDENTIAL_MUTANTS: readonly Mutant[] = [
  {
    name: 'sends the credentials of a host to its other ports',
    file: 'common/oci/registry-pattern.ts',
    text: 'port === target.port &&',
    replacement: 'true &&',
    tests: PATTERN,
  },
  {
    name: 'sends the credentials of a host to one whose name goes on',
    file: 'common/oci/registry-pattern.ts',
    text: 'globs.length === target.labels.length &&',
    replacement: 'true &&',
    tests: PATTERN,
  },
  {
    name: 'sends the credentials of one repository for another',
    file: 'common/oci/registry-pattern.ts',
    text: 'repository.startsWith(path)',
    replacement: 'true',
    tests: PATTERN,
  },
  {
    name: 'tries the credentials of a host before those of a repository',
    file: 'common/oci/credentials.ts',
    text: 'a.pattern.key < b.pattern.key ? 1 : a.pattern.key > b.pattern.key ? -1 : 0',
    replacement: 'a.pattern.key < b.pattern.key ? -1 : a.pattern.key > b.pattern.key ? 1 : 0',
    tests: CREDENTIALS,
    only: 'lookup',
  },
  {
    name: "quotes a docker config's key that holds a password",
    file: 'common/oci/credentials.ts',
    text: "throw key.includes('@')",
    replacement: 'throw false',
    tests: CREDENTIALS,
    only: 'a key that holds a user',
  },
  {
    name: 'takes what the node may read for what the caller may read',
    file: 'common/oci/registry-client.ts',
    text: "proves === 'caller' ? granted",
    replacement: 'true ? granted',
    tests: CANDIDATES,
    only: 'anyone may read',
  },
  {
    name: 'identifies a holder without his secret',
    file: 'driver/pull/credential-identity.ts',
    text: '? [kind, credential.username, credential.password]',
    replacement: '? [kind, credential.username]',
    tests: IDENTITY,
  },
  {
    name: 'identifies a holder without the host',
    file: 'driver/pull/credential-identity.ts',
    text: 'JSON.stringify([registry, ...identifyingParts(credential)])',
    replacement: 'JSON.stringify([...identifyingParts(credential)])',
    tests: IDENTITY,
  },
  {
    name: "lets a tenant be another one by naming the cloud's user",
    file: 'driver/pull/credential-identity.ts',
    text: "return ['rotating', holder.namespace, holder.username]",
    replacement: "return ['rotating', holder.username]",
    tests: IDENTITY,
  },
  {
    name: 'takes every user of a namespace for the same',
    file: 'common/oci/credentials.ts',
    text: 'namespace && ROTATING_USERS.includes(username)',
    replacement: 'namespace !== undefined',
    tests: CREDENTIALS,
    only: 'any other user',
  },
  {
    name: 'gives the answer about one image for all of its registry',
    file: 'driver/credentials/answer-cache.ts',
    text: 'return `image ${image}`',
    replacement: 'return `image ${registry}`',
    tests: ANSWER_CACHE,
  },
  {
    name: 'gives the answer about one registry for another',
    file: 'driver/credentials/answer-cache.ts',
    text: 'return `registry ${registry}`',
    replacement: "return 'registry'",
    tests: ANSWER_CACHE,
  },
  {
    name: 'gives an answer after its time',
    file: 'driver/credentials/answer-cache.ts',
    text: 'if (nowMs() < known.untilMs) return known',
    replacement: 'return known',
    tests: ANSWER_CACHE,
  },
  {
    name: 'runs a program once for each who waits',
    file: 'driver/credentials/answer-cache.ts',
    text: 'if (others === undefined) {',
    replacement: 'if (true) {',
    tests: ANSWER_CACHE,
    only: 'shares an answer',
  },
  {
    name: 'asks a program about images it is not for',
    file: 'driver/credentials/credential-provider.ts',
    text: 'if (!config.matchImages.some(({ matches }) => matches(registry, repository))) return []',
    replacement: '',
    tests: PROVIDER,
  },
  {
    name: 'runs a program outside of the directory of programs',
    file: 'driver/credentials/provider-config.ts',
    text: '/[/\\s\\0]/.test(name)',
    replacement: '/[\\s\\0]/.test(name)',
    tests: PROVIDER_CONFIG,
  },
  {
    name: 'logs what follows the word password',
    file: 'driver/credentials/provider-stderr.ts',
    text: 'for (const [pattern, shown] of SECRETS) text = text.replace(pattern, shown)',
    replacement: '',
    tests: STDERR,
  },
  {
    name: 'leaves what a program started behind',
    file: 'driver/credentials/run-provider.ts',
    text: 'process.kill(-pid,',
    replacement: 'process.kill(pid,',
    tests: RUN_PROVIDER,
    only: 'with what it started',
  },
  {
    name: 'forgets the last good docker config',
    file: 'driver/credentials/docker-config-file.ts',
    text: 'isBroken = true',
    replacement: 'isBroken = true\n      keyring = ANONYMOUS',
    tests: DOCKER_CONFIG,
  },
  {
    name: 'never reads the docker config again',
    file: 'driver/credentials/docker-config-file.ts',
    text: 'if (version === seen) return',
    replacement: 'if (seen !== undefined) return',
    tests: DOCKER_CONFIG,
  },
  {
    name: 'reads a secret of any number of entries',
    file: 'common/oci/credentials.ts',
    text: 'if (count > MAX_ENTRIES)',
    replacement: 'if (count < 0)',
    tests: CREDENTIALS,
    only: '34,000 entries',
  },
  {
    name: 'tries every credential that matches',
    file: 'common/oci/credentials.ts',
    text: '.flatMap(({ credentials }) => credentials)\n        .slice(0, MAX_CANDIDATES)',
    replacement: '.flatMap(({ credentials }) => credentials)',
    tests: CREDENTIALS,
    only: 'all match',
  },
  {
    name: 'runs a program for each name at once',
    file: 'driver/credentials/credential-provider.ts',
    text: 'turns(() => run(formatProviderRequest(config, image)))',
    replacement: 'run(formatProviderRequest(config, image))',
    tests: PROVIDER,
    only: '500 names',
  },
  {
    name: 'lets names pile up while a program hangs',
    file: 'driver/credentials/credential-provider.ts',
    text: 'if (turns.pendingCount >= maxWaiting) {',
    replacement: 'if (false) {',
    tests: PROVIDER,
    only: 'names without end',
  },
  {
    name: 'lets each provider have every turn',
    file: 'driver/credentials/node-keyring.ts',
    text: 'maxRuns: shareOf(configs.length),',
    replacement: 'maxRuns: MAX_RUNS,',
    tests: ['test/driver/credentials/node-keyring.test.ts'],
    only: 'programs that hang',
  },
  {
    name: 'tells anybody what a tag means that only a credential was told',
    file: 'driver/pull/manifest/resolver.ts',
    text: 'told === undefined ? caller.who : [told]',
    replacement: 'caller.who',
    tests: ['test/driver/pull/manifest/resolver-access.test.ts'],
    only: 'is not told to anybody',
  },
]
