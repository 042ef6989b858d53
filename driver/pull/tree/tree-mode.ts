import type { Modes } from '../../../common/composition/composition.ts'

/**
 * The permission bits of an unpacked file or directory.
 *
 * `readable` gives group and others the owner's r and x, and nothing else: pods run as any uid. `keep` keeps them as the archive
 * has them, for programs that demand 0600 of a key. setuid, setgid and sticky go in both.
 */
export function treeMode(mode: number, modes: Modes): number {
  switch (modes) {
    case 'keep':
      return mode & 0o777
    case 'readable': {
      const owner = mode & 0o700
      const shared = owner & 0o500
      return owner | (shared >> 3) | (shared >> 6)
    }
  }
}
