package main

import (
	"context"
	"path/filepath"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2"
	"oras.land/oras-go/v2/content/file"
)

// push makes a layer of each file or directory, packs them with the empty config, and copies that to the target.
func push(ctx context.Context, opts options, reference string, files []string) (root ocispec.Descriptor, err error) {
	target, tag, err := openTarget(opts, reference)
	if err != nil {
		return root, err
	}
	store, err := file.New("")
	if err != nil {
		return root, err
	}
	defer store.Close()
	layers := make([]ocispec.Descriptor, 0, len(files))
	for _, argument := range files {
		path, mediaType := splitFile(argument)
		layer, err := store.Add(ctx, filepath.ToSlash(filepath.Clean(path)), mediaType, path)
		if err != nil {
			return root, err
		}
		layers = append(layers, layer)
	}
	artifactType := opts.artifactType
	if artifactType == "" {
		artifactType = oras.MediaTypeUnknownArtifact
	}
	root, err = oras.PackManifest(ctx, store, oras.PackManifestVersion1_1, artifactType, oras.PackManifestOptions{Layers: layers})
	if err != nil {
		return root, err
	}
	if err := store.Tag(ctx, root, root.Digest.String()); err != nil {
		return root, err
	}
	copyOptions := oras.DefaultCopyOptions
	copyOptions.Concurrency = opts.concurrency
	return oras.Copy(ctx, store, root.Digest.String(), target, tag, copyOptions)
}

// splitFile splits FILE[:MEDIA-TYPE] at the last colon; a file whose name has one is given with a colon at its end.
func splitFile(argument string) (path, mediaType string) {
	colon := strings.LastIndex(argument, ":")
	if colon < 0 {
		return argument, ""
	}
	return argument[:colon], argument[colon+1:]
}
