//go:build race

package app_test

// raceDetector is whether this program has the race detector, which needs several times the memory.
const raceDetector = true
