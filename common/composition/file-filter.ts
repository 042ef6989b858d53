import { Minimatch } from 'minimatch'

/** Decides by globs which files of a tree are wanted. */
export interface FileFilter {
  /**
   * Answers whether something is wanted: by its own path, or because a glob matches a directory above it.
   *
   * @param path relative and clean, e.g. `lib/app.jar`
   * @param kind whether a glob that ends with `/` can mean it; a symbolic link is a file
   */
  selects(path: string, kind: 'file' | 'directory'): boolean

  /** Tells how much of what is below a directory may be wanted, whatever that is. `""` is the root. */
  reach(directory: string): Reach
}

/** `all` and `none` are certain, `some` is not. */
export type Reach = 'all' | 'some' | 'none'

/**
 * Compiles globs in the style of gitignore: a `/` at the start or in the middle ties one to the root, one at the end to directories;
 * `*` and `?` stop at `/`, `**` does not; `!` excludes; the last that matches counts. A list that only excludes means everything else.
 *
 * In one thing it is not git: below a directory that a glob means, later globs may still mean otherwise. So `lib`, `!lib/x.jar` takes all of
 * `lib` but that file.
 *
 * The attack: a pod's glob such as `**` + `/*a*a*a*b`, which takes regular expressions exponential time. minimatch 11 uses none: it walks all
 * states at once.
 *
 * @param globs that `fileGlobProblem` finds nothing wrong with; undefined for everything
 * @see https://git-scm.com/docs/gitignore#_pattern_format
 */
export function createFileFilter(globs: readonly string[] | undefined): FileFilter {
  if (globs === undefined) return { selects: () => true, reach: () => 'all' }
  const rules = globs.map(compile)
  const byDefault = rules.every((rule) => rule.excludes)
  return {
    selects(path, kind) {
      const last = rules.findLast((rule) => rule.means(path, kind))
      return last === undefined ? byDefault : !last.excludes
    },
    reach(directory) {
      let reach: Reach = byDefault ? 'all' : 'none'
      for (const rule of rules) {
        if (rule.meansAllIn(directory)) reach = rule.excludes ? 'none' : 'all'
        else if (reach !== (rule.excludes ? 'none' : 'all') && rule.mayMeanIn(directory)) {
          reach = 'some'
        }
      }
      return reach
    },
  }
}

interface Rule {
  readonly excludes: boolean
  means(path: string, kind: 'file' | 'directory'): boolean
  meansAllIn(directory: string): boolean
  mayMeanIn(directory: string): boolean
}

function compile(glob: string): Rule {
  const excludes = glob.startsWith('!')
  const written = excludes ? glob.slice(1) : glob
  const directoriesOnly = written.endsWith('/')
  // The directories below, for which `**` itself would be their parent too.
  const body = directoriesOnly ? written.slice(0, -1).replace(/(^|\/)\*\*$/, '$1**/*') : written
  const pattern = body.includes('/') ? body.replace(/^\//, '') : `**/${body}`
  const self = matcher(pattern)
  const below = matcher(`${pattern}/**`)
  // `lib/*` and `lib/**` mean all that is in `lib`, as `lib` does.
  const whole = directoriesOnly ? pattern : pattern.replace(/(?:^|\/)(?:\*\*\/)*\*{1,2}$/, '')
  const container = whole === pattern ? self : matcher(whole)
  const inside = whole === pattern ? below : matcher(`${whole}/**`)
  return {
    excludes,
    means: (path, kind) =>
      below.match(path) || ((!directoriesOnly || kind === 'directory') && self.match(path)),
    meansAllIn: (directory) =>
      whole === '' || (directory !== '' && (container.match(directory) || inside.match(directory))),
    mayMeanIn: (directory) => directory === '' || self.match(directory, true),
  }
}

function matcher(pattern: string): Minimatch {
  return new Minimatch(pattern, {
    dot: true,
    nobrace: true,
    nocomment: true,
    noext: true,
    nonegate: true,
    platform: 'linux',
  })
}
