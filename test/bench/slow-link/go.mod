module github.com/oras-project/oras-csi/test/bench/slow-link

go 1.26.0
