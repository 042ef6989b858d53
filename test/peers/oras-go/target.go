package main

import (
	"fmt"
	"strings"

	"oras.land/oras-go/v2"
	"oras.land/oras-go/v2/content/oci"
	"oras.land/oras-go/v2/registry/remote"
	"oras.land/oras-go/v2/registry/remote/auth"
	"oras.land/oras-go/v2/registry/remote/retry"
)

// openTarget opens the registry's repository or the layout, and says which tag or digest of it is meant.
func openTarget(opts options, reference string) (oras.GraphTarget, string, error) {
	if opts.ociLayout {
		colon := strings.LastIndex(reference, ":")
		if colon < 0 {
			return nil, "", fmt.Errorf("%q: expected DIRECTORY:TAG", reference)
		}
		layout, err := oci.New(reference[:colon])
		return layout, reference[colon+1:], err
	}
	repository, err := remote.NewRepository(reference)
	if err != nil {
		return nil, "", err
	}
	repository.PlainHTTP = opts.plainHTTP
	client := &auth.Client{Client: retry.DefaultClient, Cache: auth.NewCache()}
	if opts.username != "" {
		credential := auth.Credential{Username: opts.username, Password: opts.password}
		client.Credential = auth.StaticCredential(repository.Reference.Registry, credential)
	}
	repository.Client = client
	return repository, repository.Reference.Reference, nil
}
