import type { BigIntStats } from 'node:fs'
import type { TreeSummary } from './tree-job.ts'

/** Counts what a tree holds while it is being built and entries replace each other. */
export class TreeTally {
  #files = 0
  #directories = 0
  #links = 0
  #bytes = 0

  addFile(bytes: number): void {
    this.#files++
    this.#bytes += bytes
  }

  addDirectory(): void {
    this.#directories++
  }

  addLink(): void {
    this.#links++
  }

  /** Takes back what was counted for an entry that is removed. */
  remove(entry: BigIntStats): void {
    if (entry.isDirectory()) this.#directories--
    else if (entry.isSymbolicLink()) this.#links--
    else {
      this.#files--
      this.#bytes -= Number(entry.size)
    }
  }

  summary(): TreeSummary {
    return {
      files: this.#files,
      directories: this.#directories,
      links: this.#links,
      bytes: this.#bytes,
    }
  }
}
