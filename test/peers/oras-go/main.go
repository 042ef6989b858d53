// Command oras does what `oras push`, `oras pull` and `oras copy --to-oci-layout` of the oras CLI do, on the library that the CLI is made of. It is the peer
// that our trees are compared with, so nothing of ours is in it.
//
//	oras push [FLAGS] REFERENCE FILE[:MEDIA-TYPE]...
//	oras pull [FLAGS] REFERENCE
//	oras copy [FLAGS] REFERENCE DIRECTORY:TAG
//
// REFERENCE is registry/repository:tag, or with --oci-layout DIRECTORY:TAG. Files are named as given, relative to the working
// directory. The digest of the manifest is printed.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

type options struct {
	plainHTTP           bool
	ociLayout           bool
	concurrency         int
	username            string
	password            string
	artifactType        string
	output              string
	preservePermissions bool
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	root, err := run(ctx, os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "Error:", err)
		os.Exit(1)
	}
	fmt.Println(root.Digest)
}

func run(ctx context.Context, args []string) (ocispec.Descriptor, error) {
	if len(args) == 0 {
		return ocispec.Descriptor{}, fmt.Errorf("expected push, pull or copy")
	}
	command, args := args[0], args[1:]
	var opts options
	flags := flag.NewFlagSet(command, flag.ContinueOnError)
	flags.BoolVar(&opts.plainHTTP, "plain-http", false, "use HTTP to the registry")
	flags.BoolVar(&opts.ociLayout, "oci-layout", false, "the reference names an OCI layout directory")
	flags.StringVar(&opts.username, "username", "", "of the registry")
	flags.StringVar(&opts.password, "password", "", "of the registry")
	switch command {
	case "push":
		flags.IntVar(&opts.concurrency, "concurrency", 5, "how many blobs at once")
		flags.StringVar(&opts.artifactType, "artifact-type", "", "of the manifest")
	case "pull":
		flags.IntVar(&opts.concurrency, "concurrency", 3, "how many blobs at once")
		flags.StringVar(&opts.output, "output", ".", "directory to write to")
		flags.BoolVar(&opts.preservePermissions, "preserve-permissions", false, "ignore the umask when unpacking")
	case "copy":
		flags.IntVar(&opts.concurrency, "concurrency", 3, "how many blobs at once")
	default:
		return ocispec.Descriptor{}, fmt.Errorf("unknown command %q: expected push, pull or copy", command)
	}
	if err := flags.Parse(args); err != nil {
		return ocispec.Descriptor{}, err
	}
	if flags.NArg() == 0 {
		return ocispec.Descriptor{}, fmt.Errorf("%s: expected a reference", command)
	}
	switch command {
	case "push":
		return push(ctx, opts, flags.Arg(0), flags.Args()[1:])
	case "copy":
		return copyToLayout(ctx, opts, flags.Arg(0), flags.Arg(1))
	default:
		return pull(ctx, opts, flags.Arg(0))
	}
}
