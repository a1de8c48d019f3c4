package config

// Text is what a value of the bucket says.
var Text = text

// FileSources are sources with the content of a YAML file.
func FileSources(data []byte) (*Sources, error) {
	file, err := parseFile("f", data)
	return &Sources{path: "f", file: file}, err
}
