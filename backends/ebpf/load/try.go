//go:build linux

package load

// tryLoad has the kernel check the programs, and keeps nothing.
func tryLoad(pod bool, s sizes) error {
	shared, err := newShared(pod)
	if err != nil {
		return err
	}
	defer shared.close()
	i, err := newInstance(&datapath{pod: pod, shared: shared}, instanceName{pod, 1}, s)
	if err != nil {
		return err
	}
	i.close()
	return nil
}
