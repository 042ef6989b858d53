import { describe, expect, test } from 'vitest'
import { parseProviderConfig } from '../../../driver/credentials/provider-config.ts'
import { thrownBy } from '../../support/thrown.ts'

const HEAD = 'apiVersion: kubelet.config.k8s.io/v1\nkind: CredentialProviderConfig\n'
const PROVIDER = {
  name: 'ecr',
  matchImages: ['*.amazonaws.com'],
  defaultCacheDuration: '12h',
  apiVersion: 'credentialprovider.kubelet.k8s.io/v1',
}

function json(provider: object): string {
  return JSON.stringify({
    apiVersion: 'kubelet.config.k8s.io/v1',
    kind: 'CredentialProviderConfig',
    providers: [provider],
  })
}

const parsed = (text: string) =>
  parseProviderConfig(text, 'p.yaml').map(({ matchImages, ...rest }) => ({
    ...rest,
    matchImages: matchImages.map(({ key }) => key),
  }))

test("reads the kubelet's file, YAML with all that a CSI driver can do", () => {
  const text = `${HEAD}providers:
  # As the documents of Kubernetes have it.
  - name: ecr-credential-provider
    matchImages:
      - "*.dkr.ecr.*.amazonaws.com"
      - &registry registry.example:5000/team
    defaultCacheDuration: "1h30m"
    apiVersion: credentialprovider.kubelet.k8s.io/v1beta1
    args: [get-credentials, --verbose]
    env:
      - name: AWS_PROFILE
        value: example
      - {name: EMPTY, value: ""}
  - name: other
    matchImages: [*registry]
    defaultCacheDuration: 0s
    apiVersion: credentialprovider.kubelet.k8s.io/v1alpha1
    args: null
    tokenAttributes: null
`
  expect(parsed(text)).toStrictEqual([
    {
      name: 'ecr-credential-provider',
      matchImages: ['*.dkr.ecr.*.amazonaws.com', 'registry.example:5000/team'],
      defaultCacheMs: 5_400_000,
      apiVersion: 'credentialprovider.kubelet.k8s.io/v1beta1',
      args: ['get-credentials', '--verbose'],
      env: { AWS_PROFILE: 'example', EMPTY: '' },
    },
    {
      name: 'other',
      matchImages: ['registry.example:5000/team'],
      defaultCacheMs: 0,
      apiVersion: 'credentialprovider.kubelet.k8s.io/v1alpha1',
      args: [],
      env: {},
    },
  ])
})

test.each(['v1', 'v1beta1', 'v1alpha1'])('reads version %s of the file, and JSON', (version) => {
  const text = json(PROVIDER).replace(
    'kubelet.config.k8s.io/v1',
    `kubelet.config.k8s.io/${version}`,
  )
  expect(parsed(text)).toHaveLength(1)
})

describe('refuses, with file and line,', () => {
  test.each<[string, string, string]>([
    ['what is no YAML', 'a: [', 'p.yaml:1: not valid YAML or JSON (BAD_INDENT)'],
    ['two documents', `${HEAD}---\n`, 'p.yaml:3: not valid YAML or JSON (MULTIPLE_DOCS)'],
    ['a key twice', 'kind: a\nkind: a\n', 'p.yaml:2: not valid YAML or JSON (DUPLICATE_KEY)'],
    ['nothing', '', 'p.yaml:1: expected a mapping'],
    [
      'another kind',
      'apiVersion: v1\nkind: Secret\n',
      'p.yaml:1: apiVersion: found "v1"; expected "kubelet.config.k8s.io/v1", "kubelet.config.k8s.io/v1beta1", "kubelet.config.k8s.io/v1alpha1"',
    ],
    [
      'another kind of that version',
      'apiVersion: kubelet.config.k8s.io/v1\nkind: KubeletConfiguration\n',
      'p.yaml:2: kind: found "KubeletConfiguration"; expected "CredentialProviderConfig"',
    ],
    ['no providers', HEAD, 'p.yaml:1: has no "providers"'],
    [
      'an empty list of them',
      `${HEAD}providers: []\n`,
      'p.yaml:3: providers: is empty; expected a provider at least',
    ],
    [
      'an unknown field',
      `${HEAD}provider: []\n`,
      'p.yaml:3: has an unknown field "provider"; did you mean "providers"?',
    ],
    ['text where a list belongs', `${HEAD}providers: x\n`, 'p.yaml:3: providers: expected a list'],
    [
      'a provider without a name',
      `${HEAD}providers:\n  - matchImages: [a.io]\n`,
      'p.yaml:4: providers[0]: has no "name"',
    ],
  ])('%s', (_, text, message) => {
    expect(thrownBy(() => parseProviderConfig(text, 'p.yaml'))).toBe(`INVALID ${message}`)
  })

  test.each<[string, object, string]>([
    [
      'a program outside of the directory',
      { name: '../../bin/sh' },
      'name: expected the name of a program, without "/" and spaces',
    ],
    [
      'the directory above',
      { name: '..' },
      'name: expected the name of a program, without "/" and spaces',
    ],
    [
      'the directory',
      { name: '.' },
      'name: expected the name of a program, without "/" and spaces',
    ],
    [
      'a name with a space',
      { name: 'a b' },
      'name: expected the name of a program, without "/" and spaces',
    ],
    [
      'a name that is a number',
      { name: 5 },
      'name: expected text, found a number; quotes make it text',
    ],
    [
      'no image',
      { matchImages: [] },
      'matchImages: is empty; expected an image at least, e.g. "*.azurecr.io"',
    ],
    [
      'an image with a scheme',
      { matchImages: ['a.io', 'https://ghcr.io'] },
      'matchImages[1]: expected a registry, perhaps with a path, without "https://"',
    ],
    ['no duration', { defaultCacheDuration: undefined }, 'has no "defaultCacheDuration"'],
    [
      'a negative duration',
      { defaultCacheDuration: '-1s' },
      'defaultCacheDuration: expected a duration, e.g. "12h" or "0s"',
    ],
    [
      'a protocol of its own',
      { apiVersion: 'v1' },
      'apiVersion: found "v1"; expected "credentialprovider.kubelet.k8s.io/v1", "credentialprovider.kubelet.k8s.io/v1beta1", "credentialprovider.kubelet.k8s.io/v1alpha1"',
    ],
    [
      'an argument that is a number',
      { args: ['a', 1] },
      'args[1]: expected text, found a number; quotes make it text',
    ],
    [
      'an argument with a NUL',
      { args: ['a\0'] },
      'args[0]: holds a NUL, which a process cannot be given',
    ],
    [
      'a variable without a name',
      { env: [{ name: '', value: 'x' }] },
      'env[0].name: expected the name of a variable, without "="',
    ],
    [
      'a variable with a secret that is a number',
      { env: [{ name: 'PIN', value: 4711 }] },
      'env[0].value: expected text, found a number; quotes make it text',
    ],
    [
      'service account tokens',
      { tokenAttributes: { cacheType: 'Token' } },
      "tokenAttributes: is not available to a CSI driver: only the kubelet hands service account tokens to a provider; leave it out of the driver's file, or leave out the provider",
    ],
  ])('%s', (_, change, message) => {
    const separator = message.startsWith('has no') ? ': ' : '.'
    expect(thrownBy(() => parseProviderConfig(json({ ...PROVIDER, ...change }), 'p.yaml'))).toBe(
      `INVALID p.yaml:1: providers[0]${separator}${message}`,
    )
  })

  test('a name twice', () => {
    const one = JSON.stringify(PROVIDER)
    expect(
      thrownBy(() => parseProviderConfig(`${HEAD}providers:\n- ${one}\n- ${one}\n`, 'p.yaml')),
    ).toBe('INVALID p.yaml:5: providers[1].name: the provider "ecr" is there twice')
  })
})
