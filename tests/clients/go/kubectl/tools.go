//go:build tools

// Package kubectl pins the version of kubectl that the tests drive: build.py builds k8s.io/kubernetes/cmd/kubectl
// from this module, because a module with replace lines cannot be installed by its version.
package kubectl

import _ "k8s.io/kubernetes/cmd/kubectl"
