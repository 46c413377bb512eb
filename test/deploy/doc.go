// Package deploy tests what is shipped for running the broker elsewhere, with
// the code that reads it there: Kubernetes' own types and its check of the
// standard "restricted", and BuildKit's parser of Dockerfiles.
package deploy
