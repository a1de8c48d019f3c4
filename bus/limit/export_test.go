package limit

// Keys is how many keys are kept.
func Keys(m *Memory) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.full)
}
