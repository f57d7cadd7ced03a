package diagnose

import "time"

// ContainerHistory is what earlier observations have shown about a container. The zero value is the history of a new container.
type ContainerHistory struct {
	WaitingReason string    // reason for waiting at the last observation
	FailedPulls   int       // failed image pulls that were observed
	PullMessage   string    // message of the last failed pull; the back-off after it often does not repeat the reason
	RunsWhenReady int32     // ended runs when the container was last ready; only later runs count against it
	LoopingSince  time.Time // when it was first seen to end repeatedly, since it was last ready
	Run           int32     // number of its current run
	RunningSince  time.Time // when that run was first observed

	// RunsAtLastProgress is the number of ended runs at LastProgress, when another object of the release was last seen to make
	// progress; zero: never.
	RunsAtLastProgress int32
	LastProgress       time.Time
}

// recordPull counts failed pulls. ErrImagePull counts as one. The ImagePullBackOff after it does not count again, but one without
// an ErrImagePull before it does, because it follows a failed pull.
func (h *ContainerHistory) recordPull(found *Finding) {
	if h.WaitingReason != found.Reason {
		if isPullFailure(found.Reason) && (found.Reason == "ErrImagePull" || !isPullFailure(h.WaitingReason)) {
			h.FailedPulls++
		}
		h.WaitingReason = found.Reason
	}
	switch found.Reason {
	case "ErrImagePull", "RegistryUnavailable":
		h.PullMessage = found.Message
	case "ImagePullBackOff":
		if h.PullMessage != "" && !pullRefused.MatchString(found.Message) {
			found.Message = h.PullMessage
		}
	}
}

// PodHistory maps a container's name to its history.
type PodHistory map[string]ContainerHistory
