package pipeline

// StepSettings is stepSettings for the tests.
var StepSettings = stepSettings
