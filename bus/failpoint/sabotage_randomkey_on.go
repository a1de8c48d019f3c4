//go:build sabotage_randomkey

package failpoint

// RandomProviderKey asks the payment provider with a fresh key at each try.
const RandomProviderKey = true
