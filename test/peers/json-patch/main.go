// Command json-patch applies JSON patches with the library of the Kubernetes API server.
//
// It reads lines {"pod": ..., "patch": [...]} and writes the patched pod of each on a line of its own.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
)

type question struct {
	Pod   json.RawMessage `json:"pod"`
	Patch json.RawMessage `json:"patch"`
}

func main() {
	if err := run(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(in io.Reader, out io.Writer) error {
	decoder := json.NewDecoder(in)
	for {
		var q question
		if err := decoder.Decode(&q); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		patch, err := jsonpatch.DecodePatch(q.Patch)
		if err != nil {
			return fmt.Errorf("cannot read %s: %w", q.Patch, err)
		}
		patched, err := patch.Apply(q.Pod)
		if err != nil {
			return fmt.Errorf("cannot apply %s to %s: %w", q.Patch, q.Pod, err)
		}
		fmt.Fprintf(out, "%s\n", patched)
	}
}
