import { describe, expect, test } from 'vitest'
import { parseLayoutName } from '../../cli/layout-name.ts'

describe('the name of an artifact in an OCI layout', () => {
  const DIGEST = `sha256:${'a'.repeat(64)}`
  test.each([
    ['app:v1', '/home/ada', 'oci-layout/app:v1'],
    ['./app:v1', '/home/ada', 'oci-layout/app:v1'],
    ['../out/app:v1', '/home/out', 'oci-layout/app:v1'],
    ['/srv/layouts/acme/app:v1', '/srv/layouts/acme', 'oci-layout/app:v1'],
    ['/srv/a:b/app', '/srv/a:b', 'oci-layout/app'],
    [`app@${DIGEST}`, '/home/ada', `oci-layout/app@${DIGEST}`],
    [`app:v1@${DIGEST}`, '/home/ada', `oci-layout/app:v1@${DIGEST}`],
    ['.:v1', '/home', 'oci-layout/ada:v1'],
  ])('%s', (text, root, reference) => {
    expect(parseLayoutName(text, '/home/ada')).toStrictEqual({ root, reference })
  })

  test.each([
    ['My Layout:v1', '/home/ada/My Layout', 'My Layout'],
    ['/:v1', '/', ''],
  ])('%s is none', (text, directory, name) => {
    expect(() => parseLayoutName(text, '/home/ada')).toThrow(
      `Cannot read the OCI layout "${directory}": "${name}" is not a repository's name; expected lowercase letters, digits, separators "." "_" "-"; rename it`,
    )
  })
})
