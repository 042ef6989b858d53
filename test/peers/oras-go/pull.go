package main

import (
	"context"
	"encoding/json"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2"
	"oras.land/oras-go/v2/content"
	"oras.land/oras-go/v2/content/file"
)

// pull copies what the reference names into a directory. Like the CLI it leaves out what has no title, unless something
// hangs below it.
func pull(ctx context.Context, opts options, reference string) (root ocispec.Descriptor, err error) {
	source, tag, err := openTarget(opts, reference)
	if err != nil {
		return root, err
	}
	store, err := file.New(opts.output)
	if err != nil {
		return root, err
	}
	defer func() {
		if closed := store.Close(); err == nil {
			err = closed
		}
	}()
	store.PreservePermissions = opts.preservePermissions
	copyOptions := oras.DefaultCopyOptions
	copyOptions.Concurrency = opts.concurrency
	copyOptions.FindSuccessors = titledSuccessors
	return oras.Copy(ctx, source, tag, store, tag, copyOptions)
}

func titledSuccessors(ctx context.Context, fetcher content.Fetcher, node ocispec.Descriptor) ([]ocispec.Descriptor, error) {
	successors, err := content.Successors(ctx, fetcher, node)
	if err != nil {
		return nil, err
	}
	subject, err := subjectOf(ctx, fetcher, node)
	if err != nil {
		return nil, err
	}
	var wanted []ocispec.Descriptor
	for _, successor := range successors {
		if subject != nil && content.Equal(successor, *subject) {
			continue
		}
		if successor.Annotations[ocispec.AnnotationTitle] == "" {
			below, err := content.Successors(ctx, fetcher, successor)
			if err != nil {
				return nil, err
			}
			if len(below) == 0 {
				continue
			}
		}
		wanted = append(wanted, successor)
	}
	return wanted, nil
}

// subjectOf reads what a manifest refers to, which is pulled only when it is asked for.
func subjectOf(ctx context.Context, fetcher content.Fetcher, node ocispec.Descriptor) (*ocispec.Descriptor, error) {
	if node.MediaType != ocispec.MediaTypeImageManifest {
		return nil, nil
	}
	text, err := content.FetchAll(ctx, fetcher, node)
	if err != nil {
		return nil, err
	}
	var manifest ocispec.Manifest
	err = json.Unmarshal(text, &manifest)
	return manifest.Subject, err
}
