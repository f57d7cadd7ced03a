package metrics

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	core "k8s.io/api/core/v1"
	discovery "k8s.io/api/discovery/v1"
	rbac "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/kubernetes"
	registration "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	aggregator "k8s.io/kube-aggregator/pkg/client/clientset_generated/clientset"
	api "k8s.io/metrics/pkg/apis/metrics/v1beta1"
)

// The Service by which the API server finds this API, and the DNS name in the certificate.
const (
	Namespace = "kube-system"
	Service   = "metrics-server"
	Host      = Service + "." + Namespace + ".svc"
)

// readers is the ClusterRole, with metrics-server's name, that lets users with the roles view, edit or admin read metrics.
const readers = "system:aggregated-metrics-reader"

// port is the Service's port; the EndpointSlice has the real one.
const port int32 = 443

// Register adds the API to the cluster: the API server forwards requests for metrics.k8s.io to an address, where it requires a
// certificate of the authority for Host. It returns when the API server has found it available
// (https://kubernetes.io/docs/tasks/extend-kubernetes/setup-extension-api-server/). Existing objects are not changed.
func Register(ctx context.Context, client kubernetes.Interface, services aggregator.Interface, at netip.AddrPort, authority []byte) error {
	for {
		err := register(ctx, client, services, at, authority)
		if err == nil {
			err = available(ctx, services)
		}
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("registering the resource metrics: %w: %w", context.Cause(ctx), err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// register creates the API's Service, EndpointSlice, APIService and roles, unless they exist.
func register(ctx context.Context, client kubernetes.Interface, services aggregator.Interface, at netip.AddrPort, authority []byte) error {
	name, tcp, yes, to, listening := "https", core.ProtocolTCP, true, port, int32(at.Port())
	labels := map[string]string{"app.kubernetes.io/name": Service}
	for _, create := range []func() error{
		func() error {
			_, err := client.CoreV1().Services(Namespace).Create(ctx, &core.Service{
				ObjectMeta: metav1.ObjectMeta{Name: Service, Labels: labels},
				Spec: core.ServiceSpec{Ports: []core.ServicePort{
					{Name: name, Port: to, TargetPort: intstr.FromInt32(listening), Protocol: tcp},
				}},
			}, metav1.CreateOptions{})
			return err
		},
		func() error {
			// A Service without a selector has the endpoints of its EndpointSlice.
			_, err := client.DiscoveryV1().EndpointSlices(Namespace).Create(ctx, &discovery.EndpointSlice{
				ObjectMeta: metav1.ObjectMeta{Name: Service, Labels: map[string]string{
					discovery.LabelServiceName: Service, discovery.LabelManagedBy: "sandbox",
				}},
				AddressType: discovery.AddressTypeIPv4,
				Endpoints:   []discovery.Endpoint{{Addresses: []string{at.Addr().String()}, Conditions: discovery.EndpointConditions{Ready: &yes}}},
				Ports:       []discovery.EndpointPort{{Name: &name, Port: &listening, Protocol: &tcp}},
			}, metav1.CreateOptions{})
			return err
		},
		func() error {
			_, err := client.RbacV1().ClusterRoles().Create(ctx, &rbac.ClusterRole{
				ObjectMeta: metav1.ObjectMeta{Name: readers, Labels: map[string]string{
					"rbac.authorization.k8s.io/aggregate-to-view":  "true",
					"rbac.authorization.k8s.io/aggregate-to-edit":  "true",
					"rbac.authorization.k8s.io/aggregate-to-admin": "true",
				}},
				Rules: []rbac.PolicyRule{
					{APIGroups: []string{api.GroupName}, Resources: []string{pods.Resource, nodes.Resource}, Verbs: []string{"get", "list"}},
				},
			}, metav1.CreateOptions{})
			return err
		},
		func() error {
			_, err := services.ApiregistrationV1().APIServices().Create(ctx, &registration.APIService{
				ObjectMeta: metav1.ObjectMeta{Name: apiService, Labels: labels},
				Spec: registration.APIServiceSpec{
					Group: api.GroupName, Version: api.SchemeGroupVersion.Version, GroupPriorityMinimum: 100, VersionPriority: 100,
					Service: &registration.ServiceReference{Namespace: Namespace, Name: Service, Port: &to}, CABundle: authority,
				},
			}, metav1.CreateOptions{})
			return err
		},
	} {
		if err := create(); err != nil && !apierrors.IsAlreadyExists(err) {
			return err
		}
	}
	return nil
}

var apiService = api.SchemeGroupVersion.Version + "." + api.GroupName

// available returns nil once the API server has reached this API.
func available(ctx context.Context, services aggregator.Interface) error {
	service, err := services.ApiregistrationV1().APIServices().Get(ctx, apiService, metav1.GetOptions{})
	if err != nil {
		return err
	}
	for _, condition := range service.Status.Conditions {
		if condition.Type == registration.Available {
			if condition.Status == registration.ConditionTrue {
				return nil
			}
			return fmt.Errorf("it is not available: %s: %s", condition.Reason, condition.Message)
		}
	}
	return fmt.Errorf("the API server has not looked for it yet")
}
