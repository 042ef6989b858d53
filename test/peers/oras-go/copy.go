package main

import (
	"context"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2"
)

// copyToLayout copies what a reference of a registry names, with everything below it, into an OCI layout.
func copyToLayout(ctx context.Context, opts options, from, to string) (root ocispec.Descriptor, err error) {
	source, sourceTag, err := openTarget(opts, from)
	if err != nil {
		return root, err
	}
	opts.ociLayout = true
	target, targetTag, err := openTarget(opts, to)
	if err != nil {
		return root, err
	}
	copyOptions := oras.DefaultCopyOptions
	copyOptions.Concurrency = opts.concurrency
	return oras.Copy(ctx, source, sourceTag, target, targetTag, copyOptions)
}
