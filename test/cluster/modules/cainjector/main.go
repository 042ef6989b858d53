// Command cainjector is cert-manager's CA injector, made of its library: since 1.12 the program itself is in no published module.
//
// The one of cert-manager 1.11 does not know matchConditions, which came with Kubernetes 1.27, and drops them from every webhook
// configuration that it writes an authority into.
package main

import (
	"flag"
	"log"

	"github.com/cert-manager/cert-manager/pkg/api"
	"github.com/cert-manager/cert-manager/pkg/controller/cainjector"
	"github.com/cert-manager/cert-manager/pkg/util"
	apiextensions "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/klog/v2"
	apiregistration "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	metrics "sigs.k8s.io/controller-runtime/pkg/metrics/server"
)

func main() {
	// The library has a flag of its own: --kubeconfig.
	flag.Parse()
	ctrl.SetLogger(klog.Background())
	if err := run(); err != nil {
		log.Fatal(err)
	}
}

func run() error {
	config, err := ctrl.GetConfig()
	if err != nil {
		return err
	}
	if err := scheme.AddToScheme(api.Scheme); err != nil {
		return err
	}
	if err := apiextensions.AddToScheme(api.Scheme); err != nil {
		return err
	}
	if err := apiregistration.AddToScheme(api.Scheme); err != nil {
		return err
	}
	manager, err := ctrl.NewManager(util.RestConfigWithUserAgent(config, "cainjector"), ctrl.Options{
		Scheme:  api.Scheme,
		Metrics: metrics.Options{BindAddress: "0"},
	})
	if err != nil {
		return err
	}
	ctx := ctrl.SetupSignalHandler()
	err = cainjector.RegisterAllInjectors(ctx, manager, cainjector.SetupOptions{
		EnableCertificatesDataSource: true,
		EnabledReconcilersFor: map[string]bool{
			cainjector.MutatingWebhookConfigurationName:   true,
			cainjector.ValidatingWebhookConfigurationName: true,
		},
	})
	if err != nil {
		return err
	}
	return manager.Start(ctx)
}
