package image_test

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/onedigest/onedigest/internal/image"
	"github.com/onedigest/onedigest/internal/release"
)

// The files of the context decide which builder "auto" is, not what is installed.
func ExampleBuilders_Choose() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	for name, content := range map[string]string{"go.mod": "module example.com/shop\n", "main.go": "package main\n\nfunc main() {}\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			fmt.Println(err)
			return
		}
	}
	builders := image.New(image.Options{Environ: os.Environ()})
	recipe := release.Recipe{Context: dir, Main: ".", Platforms: []release.Platform{{OS: "linux", Architecture: "amd64"}}}
	fmt.Println(builders.Choose("auto", recipe))

	recipe.BuildArgs = map[string]string{"GREETING": "hello"}
	_, err = builders.Choose(image.Go, recipe)
	fmt.Println(err)
	// Output:
	// go <nil>
	// --build-args: the go builder takes no build arguments; omit them, or give --builder docker
}
