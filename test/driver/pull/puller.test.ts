import { expect, test } from 'vitest'
import type { Keyring } from '../../../common/oci/credentials.ts'
import { parseReference } from '../../../common/oci/reference.ts'
import { artifact } from '../../support/artifact.ts'
import { pullFixture } from './pull-fixture.ts'

const BUILT = artifact({ layers: [{ title: 'a.txt', content: 'a'.repeat(1000) }] })
const USERS = { alice: 'sesame', anna: 'simsim' }
const NEVER = new AbortController().signal

const keyringOf = (username: keyof typeof USERS): Keyring => ({
  lookup: () => [
    { label: 'secret', credential: { kind: 'basic', username, password: USERS[username] } },
  ],
})

test('who has joined a pull is not told what only the first one is refused: he pulls as himself', async () => {
  await using it = await pullFixture(
    { 'acme/app:v1': BUILT },
    { auth: { kind: 'basic', users: USERS } },
  )
  const ofAlice = {
    path: '*/blobs/*',
    where: ({ headers }: { readonly headers: { readonly authorization?: string | undefined } }) =>
      headers.authorization === `Basic ${Buffer.from('alice:sesame').toString('base64')}`,
  }
  using gate = it.registry.hold(ofAlice)
  it.registry.fault(ofAlice, { kind: 'status', status: 403 })
  const pull = (user: keyof typeof USERS) => {
    const { promise: joins, resolve: onPull } = Promise.withResolvers<unknown>()
    const tree = it.puller.ensureTree(
      { reference: parseReference(`${it.registry.host}/acme/app:v1`) },
      { keyring: keyringOf(user), signal: NEVER, onPull },
    )
    tree.catch(() => undefined)
    return { joins, tree }
  }
  const alice = pull('alice')
  await gate.arrived
  const anna = pull('anna')
  await anna.joins
  gate.release()
  await expect(alice.tree).rejects.toThrow('403')
  expect((await anna.tree).meta.blobs).toContain([...BUILT.blobs.keys()].at(-1))
})
