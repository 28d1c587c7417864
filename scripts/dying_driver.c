/* A Vulkan driver that passes everything on to another one until it dies: from the DYING_AFTER-th submission of work on every
 * submission says that the device is lost. For software_gpu.py, which builds it with: cc -shared -fPIC -o FILE dying_driver.c -ldl
 * The driver behind it is the library that DYING_DRIVER names. */
#include <dlfcn.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef void (*Function)(void);
typedef Function (*Lookup)(void *, const char *);
typedef int (*Submit)(void *, uint32_t, const void *, uint64_t);

enum { DEVICE_LOST = -4 };

static Lookup device_lookup;
static Submit submit, submit2;
static int submissions;

static void *behind(const char *name) {
    static void *library;
    if (!library)
        library = dlopen(getenv("DYING_DRIVER"), RTLD_NOW | RTLD_LOCAL);
    return library ? dlsym(library, name) : NULL;
}

static int is_dead(void) { return ++submissions >= atoi(getenv("DYING_AFTER")); }

static int dying_submit(void *queue, uint32_t count, const void *work, uint64_t fence) {
    return is_dead() ? DEVICE_LOST : submit(queue, count, work, fence);
}

static int dying_submit2(void *queue, uint32_t count, const void *work, uint64_t fence) {
    return is_dead() ? DEVICE_LOST : submit2(queue, count, work, fence);
}

static Function instead(const char *name, Function found) {
    if (found && !strcmp(name, "vkQueueSubmit")) {
        submit = (Submit)found;
        return (Function)dying_submit;
    }
    if (found && !strncmp(name, "vkQueueSubmit2", 14)) {
        submit2 = (Submit)found;
        return (Function)dying_submit2;
    }
    return found;
}

static Function of_device(void *device, const char *name) { return instead(name, device_lookup(device, name)); }

Function vk_icdGetInstanceProcAddr(void *instance, const char *name) {
    Lookup lookup = (Lookup)behind("vk_icdGetInstanceProcAddr");
    Function found = lookup ? lookup(instance, name) : NULL;
    if (found && !strcmp(name, "vkGetDeviceProcAddr")) {
        device_lookup = (Lookup)found;
        return (Function)of_device;
    }
    return instead(name, found);
}

int vk_icdNegotiateLoaderICDInterfaceVersion(uint32_t *version) {
    int (*negotiate)(uint32_t *) = (int (*)(uint32_t *))behind("vk_icdNegotiateLoaderICDInterfaceVersion");
    return negotiate ? negotiate(version) : -3;
}

Function vk_icdGetPhysicalDeviceProcAddr(void *instance, const char *name) {
    Lookup lookup = (Lookup)behind("vk_icdGetPhysicalDeviceProcAddr");
    return lookup ? lookup(instance, name) : NULL;
}
