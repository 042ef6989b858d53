module github.com/oras-project/oras-csi/test/bench/stopwatch

go 1.26.0
