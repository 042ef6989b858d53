// biome-ignore-all lint/suspicious/noTemplateCurlyInString: the texts are code
import type { Mutant } from './mutant.ts'

const ACCESS = ['test/driver/store/access.test.ts']
const RESOLVER = ['test/driver/pull/manifest/resolver-access.test.ts']
const REFUSALS = ['test/driver/pull/manifest/refusals.test.ts']
const BLOBS = ['test/driver/pull/blob-puller.test.ts']
const JOBS = ['test/driver/pull/jobs.test.ts']
const SILENCE = ['test/common/oci/silence.test.ts']
const TENANTS = ['test/driver/tenants.process.test.ts']
const ATTACKS = ['test/driver/tenants-attacks.process.test.ts']

/** The rules of "Cached is not allowed", each taken away. */
export const ACCESS_MUTANTS: readonly Mutant[] = [
  // Manifests: who was sent one by a host that checks, and when.
  {
    name: 'shows a cached artifact to who never was sent its manifest',
    file: 'driver/pull/manifest/proven-manifests.ts',
    text: `      const proof = await access.proof(reference, digest, who)
      if (proof === undefined) return undefined
      if (!isOfAge(proof, now(), rules.maxAgeMs)) {`,
    replacement: `      const proof = (await access.proof(reference, digest, who)) ?? { provedMs: now() }
      if (!isOfAge({ identity: '', ...proof }, now(), rules.maxAgeMs)) {`,
    tests: RESOLVER,
    only: 'does not, be it by tag or by digest',
  },
  {
    name: 'takes the proof of one caller for that of all',
    file: 'driver/store/access.ts',
    text: 'const found = proofs.get(identity)',
    replacement: 'const found = [...proofs.values()][0]',
    tests: ACCESS,
  },
  {
    name: 'takes a proof for one that any repository gave',
    file: 'driver/store/access.ts',
    text: 'return `${registry}/${repository}@${digest}`',
    replacement: 'return `${registry}@${digest}`',
    tests: ACCESS,
  },
  {
    name: 'takes a proof for one that any registry gave',
    file: 'driver/store/access.ts',
    text: 'return `${registry}/${repository}@${digest}`',
    replacement: 'return `${repository}@${digest}`',
    tests: ACCESS,
  },
  {
    name: 'takes the word of a mirror for a proof',
    file: 'driver/pull/manifest/manifest-requests.ts',
    text: '    if (!fetched.authoritative) throw provesNothing(reference)\n',
    replacement: '',
    tests: RESOLVER,
    only: 'somebody else than the registry',
  },
  {
    name: 'asks mirrors for what is to be a proof',
    file: 'driver/pull/manifest/manifest-requests.ts',
    text: 'source.manifest(reference, { ...call, authoritativeOnly: true })',
    replacement: 'source.manifest(reference, call)',
    tests: RESOLVER,
    only: 'asked of hosts that check',
  },
  {
    name: 'shows what a mirror sent to whom the registry refuses',
    file: 'driver/pull/manifest/manifest-requests.ts',
    text: `    const fetched = await source.manifest(reference, { ...call, authoritativeOnly: true })
    if (!fetched.authoritative) throw provesNothing(reference)
`,
    replacement: '    const fetched = await source.manifest(reference, call)\n',
    tests: ATTACKS,
    only: 'it answers for whom the registry refuses',
  },
  {
    name: 'takes a HEAD for a proof',
    file: 'driver/pull/manifest/resolver.ts',
    text: 'const { digest, credential } = await requests.lookUpTag(reference, caller)\n',
    replacement: `const { digest, credential } = await requests.lookUpTag(reference, caller)
    for (const identity of caller.who) await access.recordProof(reference, digest, identity)
`,
    tests: RESOLVER,
    only: 'a HEAD that says yes',
  },
  {
    name: 'remembers a manifest before it is parsed',
    file: 'driver/pull/manifest/manifest-requests.ts',
    text: '    // Parsed before anything is remembered',
    replacement: `    await access.recordTag(reference, digest, credentialIdentity(salt, reference.registry, fetched.credential))
    // Parsed before anything is remembered`,
    tests: RESOLVER,
    only: 'attack:',
  },
  {
    name: 'proves for anyone what somebody was sent',
    file: 'driver/pull/manifest/manifest-requests.ts',
    text: 'credentialIdentity(salt, reference.registry, fetched.credential)',
    replacement: 'credentialIdentity(salt, reference.registry, undefined)',
    tests: RESOLVER,
    only: 'does not, be it by tag or by digest',
  },
  // The age of a proof.
  {
    name: 'lets a proof last for ever',
    file: 'driver/store/access.ts',
    text: 'return provedMs <= nowMs && nowMs - provedMs <= maxAgeMs',
    replacement: 'return provedMs <= nowMs',
    tests: ACCESS,
  },
  {
    name: 'takes a proof from the future',
    file: 'driver/store/access.ts',
    text: 'return provedMs <= nowMs && nowMs - provedMs <= maxAgeMs',
    replacement: 'return nowMs - provedMs <= maxAgeMs',
    tests: ACCESS,
  },
  {
    name: 'makes a proof young by using it',
    file: 'driver/store/access.ts',
    text: 'putLast(entries, identity, { ...before, usedMs: now() })',
    replacement: 'putLast(entries, identity, { provedMs: now(), usedMs: now() })',
    tests: ['test/driver/store/eviction/old-records.test.ts'],
    only: 'once a day',
  },
  {
    name: 'does not renew a proof that is too old',
    file: 'driver/pull/manifest/resolver.ts',
    text: 'seen.tooOldMs === undefined ? undefined',
    replacement: 'true ? undefined',
    tests: RESOLVER,
    only: 'older than a day',
  },
  {
    name: 'shows what is too old to be proven while the registry is down',
    file: 'driver/pull/manifest/proven-manifests.ts',
    text: '        onTooOld(now() - proof.provedMs)\n        return undefined\n',
    replacement: '',
    tests: RESOLVER,
    only: 'older than a day',
  },
  {
    name: 'ignores --access-max-age',
    file: 'driver/access-flags.ts',
    text: "    maxAgeMs: values['access-max-age'],\n",
    replacement: '',
    tests: TENANTS,
    only: 'access-max-age',
  },
  // Records.
  {
    name: 'takes a record for good that is about something else',
    file: 'driver/store/access.ts',
    text: "if (readRecord(value).text('name') !== name) throw new TypeError('name is another')",
    replacement: '',
    tests: ACCESS,
  },
  {
    name: 'lets everybody of the node read the records',
    file: 'driver/store/small-file.ts',
    text: 'await writeFile(temporary, content, { mode: 0o600,',
    replacement: 'await writeFile(temporary, content, { mode: 0o644,',
    tests: ACCESS,
  },
  // Tags.
  {
    name: 'lets one tenant say what a tag means for another',
    file: 'driver/store/access.ts',
    text: 'const digest = tags.entries.get(identity)',
    replacement: 'const digest = [...tags.entries.values()][0]',
    tests: ACCESS,
  },
  {
    name: 'asks nobody with policy Never, and shows what is there',
    file: 'driver/pull/manifest/resolver.ts',
    text: "if (policy === 'Never') {",
    replacement: 'if (false) {',
    tests: RESOLVER,
    only: 'does not, be it by tag or by digest|bob gets',
  },
  // Outages.
  {
    name: 'lets an outage stop a pod whose access is recorded',
    file: 'driver/pull/manifest/resolver.ts',
    text: "if (error !== patience.reason && !isCodedError(error, 'UNAVAILABLE')) throw error",
    replacement: 'throw error',
    tests: RESOLVER,
    only: 'alice with Always keeps',
  },
  {
    name: 'takes a refusal for an outage',
    file: 'driver/pull/manifest/resolver.ts',
    text: "if (error !== patience.reason && !isCodedError(error, 'UNAVAILABLE')) throw error",
    replacement: '',
    tests: RESOLVER,
    only: 'when the registry refuses her',
  },
  {
    name: 'waits for a registry that hangs although the node has it',
    file: 'driver/pull/manifest/resolver.ts',
    text: 'const signal = AbortSignal.any([caller.signal, patience])',
    replacement: 'const { signal } = caller',
    tests: RESOLVER,
    only: 'longer than patience',
  },
  {
    name: 'tells nobody that it showed what a tag last meant',
    file: 'driver/pull/manifest/resolver.ts',
    text: '      onOutage({ reference: formatReference(asked.reference), digest: known, error })\n',
    replacement: '',
    tests: RESOLVER,
    only: 'alice with Always keeps',
  },
  // Blobs and trees.
  {
    name: 'believes any registry that says yes to a HEAD of a blob',
    file: 'driver/pull/blob-puller.ts',
    text: 'other.startsWith(`${reference.registry}/`)',
    replacement: "other !== ''",
    tests: BLOBS,
  },
  {
    name: 'believes a registry whose name begins like another',
    file: 'driver/pull/blob-puller.ts',
    text: 'const isSibling = (other: Origin) => other.startsWith(`${reference.registry}/`)',
    replacement:
      "const isSibling = (other: Origin) => reference.registry.startsWith(other.split('/')[0] ?? '')",
    tests: BLOBS,
  },
  {
    name: "takes over a sibling's blob without asking",
    file: 'driver/pull/blob-puller.ts',
    text: '    if (!(await source.mayRead(reference, descriptor, call))) return false\n',
    replacement: '',
    tests: BLOBS,
  },
  {
    name: 'asks a mirror whether a blob may be read',
    file: 'driver/pull/blob-puller.ts',
    text: 'const call = { keyring, signal, authoritativeOnly: true }',
    replacement: 'const call = { keyring, signal }',
    tests: BLOBS,
  },
  {
    name: 'takes a blob for good that came from elsewhere',
    file: 'driver/store/blobs.ts',
    text: '!record.value.origins.includes(origin)',
    replacement: 'false',
    tests: BLOBS,
  },
  {
    name: 'joins the download of a blob wherever it comes from',
    file: 'driver/pull/blob-puller.ts',
    text: 'const keyOf = ({ digest }: Descriptor, origin: Origin) => `${origin}@${digest}`',
    replacement: 'const keyOf = ({ digest }: Descriptor, _origin: Origin) => digest',
    tests: BLOBS,
    only: 'is not let in on it',
  },
  {
    name: 'lets a follower read what an earlier download left instead of the blob',
    file: 'driver/pull/blob-puller.ts',
    text: '              await removeIngest(download.path)\n',
    replacement: '',
    tests: BLOBS,
  },
  {
    name: 'shows a tree to who has not proved its blobs',
    file: 'driver/pull/puller.ts',
    text: 'if (tree?.meta.origins.includes(origin)) return tree',
    replacement: 'if (tree !== undefined) return tree',
    tests: ATTACKS,
    only: 'which is on the node',
  },
  {
    name: 'joins the pull of a tree wherever it comes from',
    file: 'driver/pull/puller.ts',
    text: 'return `${origin}@${key}`',
    replacement: 'return key',
    tests: ATTACKS,
    only: 'still on its way',
  },
  // Who joins.
  {
    name: 'tells who joined a job what only the first caller is refused',
    file: 'driver/pull/jobs.ts',
    text: 'if (!isOthers || signal.aborted || !isPersonal(error)) throw error',
    replacement: 'throw error',
    tests: JOBS,
  },
  {
    name: 'asks again for each pod with the same bad secret',
    file: 'driver/pull/jobs.ts',
    text: 'const isOthers = running !== undefined && running.caller !== caller',
    replacement: 'const isOthers = running !== undefined',
    tests: JOBS,
  },
  {
    name: 'tells who joined a pull that the first one is refused',
    file: 'driver/pull/puller.ts',
    text: 'createJobs<Tree>({ ...options, isPersonal: isRefusal })',
    replacement: 'createJobs<Tree>(options)',
    tests: ['test/driver/pull/puller.test.ts'],
  },
  // Refusals and silence.
  {
    name: 'asks a registry again that has just refused',
    file: 'driver/pull/manifest/manifest-requests.ts',
    text: '        refusals.check(name, who)\n',
    replacement: '',
    tests: RESOLVER,
    only: 'a refusal',
  },
  {
    name: "stops a pod because of another's bad secret",
    file: 'driver/pull/manifest/refusals.ts',
    text: "const caller = who.join(' ')",
    replacement: "const caller = who.at(-1) ?? ''",
    tests: REFUSALS,
  },
  {
    name: 'remembers a refusal for ever',
    file: 'driver/pull/manifest/refusals.ts',
    text: 'if (leftMs <= 0 || leftMs > memoryMs) return',
    replacement: '',
    tests: REFUSALS,
  },
  {
    name: 'remembers a refusal of what somebody was sent since',
    file: 'driver/pull/manifest/manifest-requests.ts',
    text: '          refusals.clear(name)\n',
    replacement: '',
    tests: RESOLVER,
    only: 'ends when somebody is sent it',
  },
  {
    name: 'takes an overloaded registry for one that refuses',
    file: 'driver/pull/manifest/refusals.ts',
    text: "const REFUSALS = ['NOT_FOUND', 'UNAUTHENTICATED', 'DENIED'] as const",
    replacement:
      "const REFUSALS = ['NOT_FOUND', 'UNAUTHENTICATED', 'DENIED', 'UNAVAILABLE'] as const",
    tests: REFUSALS,
  },
  {
    name: 'waits for a silent registry again and again',
    file: 'common/oci/silence.ts',
    text: 'if (quiet.waitedMs >= patienceMs) quiet.untilMs = now + REST_MS',
    replacement: '',
    tests: SILENCE,
  },
  {
    name: 'never asks a registry again that was silent once',
    file: 'common/oci/silence.ts',
    text: 'if (isResting && (quiet.isTried || startedMs < quiet.untilMs)) {',
    replacement: 'if (isResting) {',
    tests: SILENCE,
  },
  {
    name: 'leaves a silent registry to all at once',
    file: 'common/oci/silence.ts',
    text: 'quiet.isTried || startedMs < quiet.untilMs',
    replacement: 'startedMs < quiet.untilMs',
    tests: SILENCE,
  },
  {
    name: 'writes secrets into access records',
    file: 'driver/pull/credential-identity.ts',
    text: "    .digest('hex')",
    replacement: "    .digest('hex')\n    .concat(JSON.stringify(credential))",
    tests: TENANTS,
    only: 'refused to everybody else, although it is there',
  },
  {
    name: 'goes on by what a record said before it changed',
    file: 'driver/store/access.ts',
    text: '    } finally {\n      forget(path)\n    }\n  }\n\n  const changeProofs',
    replacement: '    } finally {\n    }\n  }\n\n  const changeProofs',
    tests: ['test/driver/store/access.test.ts'],
  },
  {
    name: 'goes on by a record that was removed',
    file: 'driver/store/access.ts',
    text: '      await removeOldFile(path, beforeMs)\n    } finally {\n      forget(path)\n    }',
    replacement: '      await removeOldFile(path, beforeMs)\n    } finally {\n    }',
    tests: ['test/driver/store/access.test.ts'],
  },
  {
    name: 'remembers what was read while it changed',
    file: 'driver/store/recent-files.ts',
    text: ' || changes !== before',
    replacement: '',
    tests: ['test/driver/store/recent-files.test.ts'],
  },
]
