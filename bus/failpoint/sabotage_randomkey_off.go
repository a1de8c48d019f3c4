//go:build !sabotage_randomkey

package failpoint

// RandomProviderKey asks the payment provider with a fresh key at each try.
// False in every build that is meant to work.
const RandomProviderKey = false
