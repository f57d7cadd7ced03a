package setting

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/onedigest/onedigest/internal/release"
)

// Named is a value of one of a release's images.
type Named[T any] struct {
	Name  string // "" for the main image
	Value T
}

// ParseNamed returns a parser of NAME=VALUE, or of VALUE for the main image. A name is a DNS label.
func ParseNamed[T any](parse func(string) (T, error)) func(string) (Named[T], error) {
	return func(given string) (parsed Named[T], err error) {
		text := given
		if name, value, found := strings.Cut(given, "="); found {
			if parsed.Name, err = release.ParseLabel(name); err != nil {
				return parsed, fmt.Errorf("the name of an image: %w", err)
			}
			text = value
		}
		parsed.Value, err = parse(text)
		return parsed, err
	}
}

// Images returns the images of a release, the main one first, and what is wrong with their names.
func Images(given []Named[release.Image]) (images []release.BuiltImage, problems []release.Problem) {
	refuse := func(what, do string) {
		problems = append(problems, release.Problem{Setting: "image", What: what, Do: do})
	}
	given = slices.Clone(given)
	slices.SortStableFunc(given, func(a, b Named[release.Image]) int { return cmp.Compare(min(len(a.Name), 1), min(len(b.Name), 1)) })
	for _, image := range given {
		isTaken := slices.ContainsFunc(images, func(known release.BuiltImage) bool { return known.Name == image.Name })
		switch {
		case isTaken && image.Name == "":
			refuse("is given 2 times without a name", "give each further image a name: NAME="+image.Value.String())
		case isTaken:
			refuse(fmt.Sprintf("%q is the name of two images", image.Name), "give each image a name of its own")
		default:
			images = append(images, release.BuiltImage{Name: image.Name, Image: image.Value})
		}
	}
	if len(given) > 0 && given[0].Name != "" {
		refuse("the release has no main image", "give the main image without a name")
	}
	return images, problems
}

// CheckRepositories refuses two images with the same repository, because their tags and their evidence could not be distinguished.
func CheckRepositories(images []release.BuiltImage) (problems []release.Problem) {
	claims := map[string]string{}
	for _, image := range images {
		for _, repository := range image.Repositories() {
			problems = append(problems, Claim(claims, "image", repository, image)...)
		}
	}
	return problems
}

// Claim records in claims that an image uses a repository or a chart's value, and returns a problem if another image already uses it.
func Claim(claims map[string]string, setting, what string, image release.BuiltImage) (problems []release.Problem) {
	by := cmp.Or(image.Image.String(), image.Image.Repository.String()) // an image that is yet to be built has no digest
	if other, claimed := claims[what]; claimed && other != by {
		problems = []release.Problem{{Setting: setting, What: fmt.Sprintf("%s is claimed by two images: %s and %s", what, other, by), Do: "leave it to one of them"}}
	}
	claims[what] = by
	return problems
}
