import { expect, test } from 'vitest'
import { parseFlags } from '../../common/flags.ts'
import { CREDENTIAL_FLAGS, nodeCredentialsOf } from '../../driver/credential-flags.ts'
import { thrownBy } from '../support/thrown.ts'

function read(...argv: string[]) {
  const parsed = parseFlags({ usage: 'driver', flags: CREDENTIAL_FLAGS, argv, env: {} })
  if (parsed.help) throw new Error('help')
  return nodeCredentialsOf(parsed.values)
}

test('without flags the node has no credentials', () => {
  expect(read()).toStrictEqual({})
})

test('all of them', () => {
  expect(
    read(
      ...['--docker-config', '/etc/docker.json'],
      ...['--credential-provider-config', '/etc/providers.yaml'],
      ...['--credential-provider-bin-dir', '/opt/bin'],
    ),
  ).toStrictEqual({
    dockerConfig: '/etc/docker.json',
    providers: { configFile: '/etc/providers.yaml', binDirectory: '/opt/bin' },
  })
})

test.each([['--credential-provider-config'], ['--credential-provider-bin-dir']])(
  '%s alone is refused',
  (flag) => {
    expect(thrownBy(() => read(flag, '/x'))).toBe(
      'INVALID --credential-provider-config and --credential-provider-bin-dir need each other; expected both or none',
    )
  },
)
