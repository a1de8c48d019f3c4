package config

// Text is what a value of the bucket says.
var Text = text

// ParseFile reads settings out of YAML.
func ParseFile(data []byte) (services int, err error) {
	file, err := parseFile("f", data)
	return len(file), err
}
