import { expect, test } from 'vitest'
import { createHosts } from '../../../common/oci/hosts.ts'
import { parseReference } from '../../../common/oci/reference.ts'
import { createRegistryConsent } from '../../../driver/volume/registry-consent.ts'
import { put } from '../../common/oci/hosts-fixture.ts'
import { temporaryDirectory } from '../../support/temporary-directory.ts'

const DENIED = (option: string, setting: string) =>
  `Cannot pull "reg.test/app:v1": "oras.options.${option}" needs the admin's consent; an admin can put ${setting} into reg.test/hosts.toml below the driver's --hosts-directory`

test.each([
  ['', {}, undefined],
  ['', { plainHttp: true }, DENIED('plainhttp', 'server = "http://reg.test"')],
  ['', { insecure: true }, DENIED('insecure', 'skip_verify = true')],
  ['server = "http://reg.test"', { plainHttp: true, insecure: true }, undefined],
  ['skip_verify = true', { insecure: true }, undefined],
  ['skip_verify = true', { plainHttp: true }, DENIED('plainhttp', 'server = "http://reg.test"')],
  ['[host."http://reg.test"]', { plainHttp: true }, undefined],
  ['[host."https://reg.test"]\nskip_verify = true', { insecure: true }, undefined],
  ['[host."oci-layout:///srv"]', { insecure: true }, DENIED('insecure', 'skip_verify = true')],
])('hosts.toml %j and a pod that wants %j', async (toml, wish, refusal) => {
  await using directory = await temporaryDirectory()
  await put(directory, 'reg.test/hosts.toml', toml)
  const consent = createRegistryConsent(createHosts({ directory: directory.path }))
  const sources = [{ reference: parseReference('reg.test/app:v1') }]
  const spec = { sources, subPaths: [], plainHttp: false, insecure: false, ...wish }
  const checked = consent.check({ spec })
  if (refusal === undefined) await expect(checked).resolves.toBeUndefined()
  else await expect(checked).rejects.toMatchObject({ code: 'DENIED', message: refusal })
})
