//go:build linux

package load

import (
	"fmt"

	"github.com/trafficpolicy/trafficpolicy/backends/ebpf/bpf"
)

// tryLoad has the kernel check the programs, and keeps nothing.
func tryLoad(pod bool) error {
	spec, err := bpf.Spec()
	if err != nil {
		return err
	}
	shared, err := create(bpf.Shared(spec), nil)
	if err != nil {
		return fmt.Errorf("load what packets enter by: %w", err)
	}
	defer shared.close()
	i, err := newInstance(&datapath{pod: pod, shared: shared}, instanceName{pod, 1}, sizes{})
	if err != nil {
		return err
	}
	i.close()
	return nil
}
