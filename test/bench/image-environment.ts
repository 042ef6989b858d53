import { readFileSync } from 'node:fs'

const DOCKERFILE = new URL('../../Dockerfile', import.meta.url)

/** The environment that the image gives our processes, so that what is measured is what runs on a cluster. Paths of the image are left out. */
export function imageEnvironment(
  text = readFileSync(DOCKERFILE, 'utf8'),
): Readonly<Record<string, string>> {
  const settings = text
    .split('\n')
    .filter((line) => line.startsWith('ENV '))
    .flatMap((line) => line.slice('ENV '.length).trim().split(/\s+/))
    .map((setting): [string, string] => {
      const at = setting.indexOf('=')
      return [setting.slice(0, at), setting.slice(at + 1)]
    })
  return Object.fromEntries(settings.filter(([, value]) => !value.startsWith('/')))
}
